"""Which members of an archive are listed: told as the files of a folder are."""

from fsspec.core import has_magic

from transforms.source_kinds.source import ListingRules


class ChosenMembers:
    """Says of the members of an archive, one after the other, whether they are listed.

    Attributes:
        ignored: How many were not, a folder counted once.
    """

    def __init__(self, named: str, rules: ListingRules) -> None:
        """Takes what is asked for.

        Args:
            named: A folder of the archive, a member, or a glob of members; empty for all of it.
            rules: How the archive is read.
        """
        self._named = named
        self._is_glob = has_magic(named)
        self._selection = rules.selection(named if self._is_glob else None)
        self._folders: set[str] = set()
        self.ignored = 0

    def takes(self, name: str) -> bool:
        """Whether a member is listed; counts it if it is not."""
        path = self._under(name)
        if not path or name == self._named:
            return name == self._named
        ignored = self._selection.ignored_at(path)
        if ignored is None:
            return True
        if ignored == path:
            self.ignored += self._selection.counts(path, path.rpartition("/")[2])
        else:
            self.ignored += ignored not in self._folders
            self._folders.add(ignored)
        return False

    def _under(self, name: str) -> str:
        """Returns the path of a member under the folder that was named; nothing if it is not in it."""
        if self._is_glob or not self._named:
            return name
        folder = f"{self._named}/"
        return name[len(folder) :] if name.startswith(folder) else ""
