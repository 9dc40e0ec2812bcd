"""The manifests of one shard on local disk: the highest version is the current one."""

from __future__ import annotations

from tiervdb.errors import CorruptionError
from tiervdb.format import manifest as fmt
from tiervdb.format import paths
from tiervdb.format.manifest import Manifest
from tiervdb.storage.local_dir import LocalDir


class ManifestStore:
    """Reads and publishes manifests. A manifest is published by an atomic rename, and never changed."""

    def __init__(self, local: LocalDir, shard: int) -> None:
        self._local = local
        self._shard = shard

    def versions(self) -> list[int]:
        """All listed versions, lowest first."""
        return self._listed(unlisted=False)

    def read(self, version: int) -> Manifest:
        """One manifest; ObjectNotFoundError if it is not listed, CorruptionError if it is damaged."""
        name = self._name(version)
        manifest = fmt.decode(self._local.read(name), str(self._local.path(name)))
        if (manifest.shard, manifest.version) != (self._shard, version):
            raise CorruptionError(
                f"{self._local.path(name)} holds shard {manifest.shard} version {manifest.version}: the file was "
                "renamed or swapped. "
                "Restore the directory, or a backup of it"
            )
        return manifest

    def current(self) -> Manifest:
        """The manifest with the highest version; CorruptionError if there is none."""
        versions = self.versions()
        if not versions:
            raise CorruptionError(
                f"{self._local.path(paths.MANIFEST_DIR)} holds no manifest of shard {self._shard}: files are missing. "
                "Restore the directory, or a backup of it"
            )
        return self.read(versions[-1])

    def publish(self, manifest: Manifest) -> None:
        """Makes it the current one, durably."""
        self._local.write_atomic(self._name(manifest.version), fmt.encode(manifest))

    def unlist(self, version: int) -> None:
        """Takes it out of the listing, so that nobody new can pin it; its bytes stay."""
        self._local.rename(self._name(version), self._name(version, unlisted=True))

    def relist(self, version: int) -> None:
        self._local.rename(self._name(version, unlisted=True), self._name(version))

    def unlisted_versions(self) -> list[int]:
        """What a crash left between unlisting and deleting."""
        return self._listed(unlisted=True)

    def delete_unlisted(self, version: int) -> None:
        self._local.delete(self._name(version, unlisted=True))

    def _name(self, version: int, unlisted: bool = False) -> str:
        return paths.ManifestName(self._shard, version, unlisted).name

    def _listed(self, unlisted: bool) -> list[int]:
        parsed = (paths.parse_local(name) for name in self._local.list(paths.MANIFEST_DIR))
        names = (p for p in parsed if isinstance(p, paths.ManifestName) and p.shard == self._shard)
        return sorted(p.version for p in names if p.unlisted == unlisted)
