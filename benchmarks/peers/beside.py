"""Rows for the peers that are installed: `python -m benchmarks.peers.peer` installs them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, per_second
from benchmarks.options import Options
from benchmarks.peers import process
from benchmarks.peers.peer import PEERS, Peer
from benchmarks.rig import Rig

LAYERS, WIDTH = 10, 20
"""Smaller than elsewhere: some peers take tens of milliseconds for a task."""

DURABLE, FAST = Target("at least", 3), Target("at least", 1)
"""The targets beside each durable peer, and beside the peers that are fast because they keep less."""

TARGETS = {name: DURABLE for name, peer in PEERS.items() if peer.is_durable}
TARGETS |= dict.fromkeys(("huey", "dask", "ray"), FAST)

LAYERED = [name for name in PEERS if name != "dagster"]
"""Dagster starts a process for each task: with 200 of them a run takes minutes."""


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Each peer in turn with ours. A peer starts its own two workers, which is not measured."""
    for name in LAYERED:
        yield _row(rig, options, PEERS[name])


def _row(rig: Rig, options: Options, peer: Peer) -> Row:
    name = f"layered {LAYERS} x {WIDTH}, beside {peer.title}"
    try:
        ours, theirs = process.in_turn(
            rig, peer, "layers", (LAYERS, WIDTH), lambda: rig.run(layered(LAYERS, WIDTH)), options.runs
        )
    except process.NotMeasured as reason:
        return Row(name, skipped=str(reason))
    tasks = LAYERS * WIDTH
    return Row(
        name,
        Figure("batched", per_second(tasks, ours), "tasks/s"),
        Figure(f"{peer.title} {peer.version()}", per_second(tasks, theirs), "tasks/s"),
        TARGETS.get(peer.name),
        note=f"{'durable' if peer.is_durable else 'not durable'} as measured; it stores {peer.stores}",
    )
