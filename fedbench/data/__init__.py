"""`bench data`: what datasets there are, whether they are whole, and how to get them."""
