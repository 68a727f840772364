"""Class names for benchmarks: everyday nouns of one to three tokens, as data sets have them."""

NOUNS = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
]  # fmt: skip
"""CIFAR-100's class names."""

KINDS = ("small", "large", "old", "wooden", "toy", "wild", "broken", "golden", "painted")


def class_names(count: int) -> list[str]:
    """`count` names; beyond the nouns, kinds of them."""
    names = NOUNS + [f"{kind} {noun}" for kind in KINDS for noun in NOUNS]
    if not 0 < count <= len(names):
        raise ValueError(f"benchmarks have names for 1 to {len(names)} classes")
    return [name.replace("_", " ") for name in names[:count]]
