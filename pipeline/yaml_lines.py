"""Reads a YAML file that people write, so that every mistake is answered with its line.

A file read into plain values has lost its lines and the names that stood there twice; the nodes have not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.errors import BadInput

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class YamlFile:
    """A file people write. `name` is what it is called ("The access file"), `advice` where its form is shown."""

    path: Path
    name: str
    advice: str

    def stamp(self) -> Stamp:
        """Another value whenever the file has been written. Raises BadInput when there is none."""
        try:
            found = self.path.stat()
        except OSError as fault:
            raise self._unreadable(fault) from fault
        return found.st_mtime_ns, found.st_size, found.st_ino

    def root(self) -> yaml.Node:
        """The file's outermost node. Raises BadInput for what is not YAML, or empty."""
        try:
            root = yaml.compose(self.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except OSError as fault:
            raise self._unreadable(fault) from fault
        except (yaml.YAMLError, UnicodeDecodeError) as fault:
            raise BadInput(f"{self.name} {self.path} is not YAML: {fault}", self.advice) from fault
        if root is None:
            raise BadInput(f"{self.name} {self.path} is empty.", self.advice)
        return root

    def pairs(self, node: yaml.Node, what: str) -> Mapping[str, tuple[yaml.Node, yaml.Node]]:
        """A mapping's entries: name to the nodes of name and value. Raises BadInput, also for a name that is twice."""
        if not isinstance(node, yaml.MappingNode):
            raise self.refused(node, f"{what} must be a mapping")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = self.text(key, "a name")
            if name in found:
                raise self.refused(key, f"{name!r} is there twice")
            found[name] = key, value
        return found

    def known(
        self, node: yaml.Node, what: str, names: Sequence[str], needed: Sequence[str] = ()
    ) -> Mapping[str, yaml.Node]:
        """A mapping's values, of these names only. Raises BadInput for another name and for a needed one left out."""
        pairs = self.pairs(node, what)
        for name, (key, _) in pairs.items():
            if name not in names:
                raise self.refused(key, f"unknown entry {name!r}")
        for name in needed:
            if name not in pairs:
                raise self.refused(node, f"{what} has no {name!r}")
        return {name: value for name, (_, value) in pairs.items()}

    def items(self, node: yaml.Node, what: str) -> Sequence[yaml.Node]:
        """A list's items. Raises BadInput; `what` is said of it, such as "must be a list of Slack user ids"."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.refused(node, what)
        return list(node.value)

    def text(self, node: yaml.Node, what: str) -> str:
        """A text that is not empty, as it is written. Raises BadInput."""
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self.refused(node, f"{what} must be a text")
        return str(node.value)

    def refused(self, node: yaml.Node, why: str) -> BadInput:
        """The error that names the file and the node's line."""
        return BadInput(f"{self.path}, line {node.start_mark.line + 1}: {why}.", self.advice)

    def _unreadable(self, fault: OSError) -> BadInput:
        return BadInput(f"{self.name} {self.path} cannot be read: {fault.strerror}.", self.advice)
