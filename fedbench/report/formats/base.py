"""The contract of a form of the report."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fedbench.report.document import Document


class Format(ABC):
    """One form of a store's tables. Its name is what `bench report --format` takes, and the ending of the file.

    A new one is a file here, or in a plug-in (`bench report STORE --plugin html.py --format html`):

        @FORMATS.register("html")
        class Html(Format):
            def render(self, documents):
                return "".join(f"<h1>{escape(document.title)}</h1>..." for document in documents).encode()
    """

    name: str

    @abstractmethod
    def render(self, documents: Sequence[Document]) -> bytes:
        """The whole file. Whoever reads it must see every document's title, warnings and notes."""
