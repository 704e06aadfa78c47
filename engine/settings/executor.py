"""The ``executor`` section: where copies are made, besides this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from engine.model.base_url import is_local
from engine.settings.section import File, Section


class ExecutorSettings(Section):
    """Who makes the copies of a backup."""

    kind: Literal["local", "processes", "dask"] = Field(
        "local",
        description="local: this process | processes: several on this machine | dask: a cluster that is running",
    )
    address: str | None = Field(
        None, description="of a Dask scheduler: dask://127.0.0.1:8786, or tls://host:8786 with the files below"
    )
    workers: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="processes: how many; null: one for each core"
    )
    lease_files: Annotated[int, Field(ge=1, le=10_000)] = Field(200, description="files in a batch of work at most")
    lease_mb: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1024, description="in MiB; what a batch holds at most: so much is read again where a worker is lost"
    )
    leases_in_hand: Annotated[int, Field(ge=1, le=16)] = Field(
        2, description="batches at a worker at once: one in work, one to go on with"
    )
    tls_ca_file: File | None = Field(None, description="dask over tls://: the CA of the cluster")
    tls_cert_file: File | None = Field(None, description="the certificate of this machine")
    tls_key_file: File | None = Field(None, description="its key; mode 0600")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.kind != "dask":
            return
        scheme, _, rest = (self.address or "").partition("://")
        if scheme not in {"dask", "tls"} or not rest:
            yield "address", "must be dask://host:port or tls://host:port, of a scheduler that is running"
        elif scheme == "dask" and not is_local(f"http://{rest}"):
            yield "address", "is not on this machine: whoever reaches that port runs code, so only tls:// may leave it"
        elif scheme == "tls":
            for key in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
                if getattr(self, key) is None:
                    yield key, "is missing; tls:// needs all three files"
