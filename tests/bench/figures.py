"""The figures of the benchmark: what each measures, in which unit, and the ratio to reach."""

from __future__ import annotations

from typing import Final, NamedTuple

SECONDS: Final = "s"
MEGABYTES: Final = "MB"
TIMES: Final = "x"


class Figure(NamedTuple):
    """One row of the table.

    :param reach: the ratio anyvirt/libvirt to stay at or under; None where the figure itself has a limit.
    :param limit: what anyvirt's own figure has to stay at or under, in ``unit``.
    """

    what: str
    unit: str = SECONDS
    reach: float | None = None
    limit: float | None = None


FIGURES: Final = {
    "define": Figure("define 1,000 guests", reach=0.5),
    "list": Figure("list 1,000 guests with names and states", reach=0.2),
    "dump": Figure("read the XML of 1,000 guests", reach=0.5),
    "stats_inactive": Figure("stats of 1,000 guests that are off", reach=0.5),
    "start_serial": Figure("start 20 q35 guests, paused, one after another", reach=0.3),
    "start_parallel": Figure("start 20 q35 guests, paused, all at once", reach=0.5),
    "stats_running_20": Figure("stats of 20 running guests", reach=0.2),
    "stats_running_50": Figure("stats of 50 running guests", reach=0.2),
    "destroy": Figure("destroy 20 guests", reach=0.2),
    "cli_list_3": Figure("`list --all` in the shell, 3 guests", reach=6.0),
    "cli_list_1000": Figure("`list --all` in the shell, 1,000 guests", reach=0.8),
    "cli_domstats": Figure("`domstats` in the shell, 1,000 guests", reach=1.0),
    "event_latency": Figure("from a guest's end to its event", reach=1.0),
    "vol_first": Figure("start a pool of 10,000 volumes and list them", limit=0.3),
    "vol_refresh": Figure("refresh it again", limit=0.1),
    "vol_list": Figure("list its 10,000 volumes", limit=0.3),
    "vol_details": Figure("kind and sizes of its 10,000 volumes"),
    "pool_beside_stopped": Figure(
        "look at a pool while the server of another one is stopped, against when it runs", TIMES, limit=2.0
    ),
    "rss_per_guest": Figure("memory for each managed guest", MEGABYTES, limit=0.2),
}
# Without a peer: how long the interpreter takes for what every command begins with, and what comes before a start.
ALONE: Final = {
    "probe_cold": Figure("ask a QEMU what it can, for the first time", limit=0.150),
    "probe_warm": Figure("know it from the last time, in a new process", limit=0.001),
    "plan_20": Figure("plan a guest with 20 devices", limit=0.005),
    "preflight": Figure("preflight of a plain q35 guest", limit=0.010),
    "import": Figure("`import anyvirt`", limit=0.060),
    "cli_help": Figure("`anyvirt --help`", limit=0.200),
    "python": Figure("`python -c pass`"),
    "virsh": Figure("`virsh --version`"),
}
