"""What the project claims about its speed and memory, as lines that measurements meet or miss. Pure.

A *launch* is what one `dcmem bench --json` printed; *runs* are {"loose": [launch, ...], "tight": [launch, ...]}. A value
of a run is the median over its launches; ratios in a launch are medians over its rounds already.
"""

import statistics


def by_case(launch):
    return {entry["case"]: entry for entry in launch}


def middle(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def value_of(launches, case, key):
    """Median over the launches of a key of a case, or None."""
    entries = [by_case(launch).get(case) for launch in launches]
    return middle([entry[key] for entry in entries if entry and entry.get(key) is not None])


def peers_of(launches, case, key):
    """{peer: median} of "peers" or "ratios"."""
    found = {}
    for launch in launches:
        for peer, value in by_case(launch).get(case, {}).get(key, {}).items():
            found.setdefault(peer, []).append(value)
    return {peer: middle(values) for peer, values in found.items()}


def nearest_peer(launches, case):
    """The peer that leaves dcmem the least lead, and dcmem's cost over its: who is beaten when it is, is all."""
    ratios = {peer: ratio for peer, ratio in peers_of(launches, case, "ratios").items() if ratio is not None}
    if not ratios:
        return None, None
    name = max(ratios, key=ratios.get)
    return name, ratios[name]


class Claim:
    """text: what is claimed; wanted: the limit; got: the number or None; note: what explains it."""

    def __init__(self, text, wanted, got, unit="", note="", is_strict=False):
        self.text, self.wanted, self.got, self.unit, self.note = text, wanted, got, unit, note
        self.is_strict = is_strict

    @property
    def is_met(self):
        if self.got is None:
            return None
        return self.got < self.wanted if self.is_strict else self.got <= self.wanted


def against_peers(runs, policy, case, text, wanted, is_strict=False):
    name, ratio = nearest_peer(runs.get(policy, []), case)
    return Claim(text, wanted, ratio, "x", f"nearest: {name}" if name else "", is_strict)


def absolute(runs, policy, case, text, wanted, unit, key="dcmem", is_strict=False):
    return Claim(text, wanted, value_of(runs.get(policy, []), case, key), unit, is_strict=is_strict)


SMALL = ["64B", "256B"]
LARGE = ["4KiB", "64KiB", "1MiB", "16MiB", "64MiB"]
HUGE = ["1MiB", "16MiB", "64MiB"]
LEVEL = 1.05


def claims(runs):
    loose = runs.get("loose", [])
    lines = []
    for size in SMALL:
        lines.append(against_peers(runs, "loose", f"fixed-{size}", f"{size}: within 1.1 x of the best peer", 1.1))
    for size in LARGE:
        lines.append(against_peers(runs, "loose", f"fixed-{size}", f"{size}: level with the best peer or ahead", LEVEL))
    for size in HUGE:
        lines.append(absolute(runs, "loose", f"fixed-{size}", f"{size}: at most 10 ns", 10, "ns"))
    for case in ["churn", "producer-consumer", "two-threads", "training-step"]:
        lines.append(against_peers(runs, "loose", case, f"{case}, loose: ahead of every peer", 1, is_strict=True))
    lines.append(absolute(runs, "loose", "churn-resident", "churn, loose: peak resident / live", 1.21, ""))
    lines.append(absolute(runs, "loose", "training-step-resident", "training step, loose: peak resident / live", 1.02,
                          ""))
    lines.append(absolute(runs, "tight", "churn-resident", "churn, tight: peak resident / live", 1.13, ""))
    lines.append(against_peers(runs, "tight", "churn", "churn, tight: at most 1.5 x the best peer's time", 1.5))
    for case in [entry["case"] for entry in loose[0] if entry["case"].startswith("handle-")] if loose else []:
        lines.append(absolute(runs, "loose", case, f"{case[7:]}: handle create + destroy at most 2 x raw", 2, "x",
                              "ratio_to_beside"))
    for case in ["stats-64B", "stats-64KiB", "stats-churn"]:
        lines.append(absolute(runs, "loose", case, f"statistics, {case[6:]}: at most 2 ns", 2, "ns", "difference"))
    lines.append(absolute(runs, "loose", "faults-idle", "an idle fault plan, a driver call: at most 2 ns", 2, "ns",
                          "difference"))
    for size in ["4KiB", "64KiB"]:
        alone = value_of(loose, f"fixed-{size}", "dcmem")
        for count in [2, 8, 64]:
            case = f"contended-{size}-{count}-threads"
            got = value_of(loose, case, "dcmem")
            ratio = got / alone if got and alone else None
            lines.append(Claim(f"{size}, {count} threads: no collapse (at most 2 x one thread's time)", 2, ratio, "x"))
    lines.append(absolute(runs, "loose", "idle-reclaim", "idle threads' magazines: limit / what another can get", 1.05,
                          ""))
    lines.append(absolute(runs, "loose", "load", "libdcmem.so loads in under a millisecond", 1000, "µs",
                          is_strict=True))
    return lines


def copy_claims(runs):
    lines = []
    for entry in runs.get("loose", [[]])[0]:
        if entry["unit"] == "GB/s" and not entry["case"].startswith("transfer-"):
            lines.append(absolute(runs, "loose", entry["case"], f"{entry['case']}: at the machine's limit", 1.1, "x",
                                  "ratio_to_floor"))
    return lines


def is_large_transfer(case):
    """Where drivers leave the most to be had: from 64 MiB on."""
    return case.endswith(("-64MiB", "-512MiB"))


def best_way(launches, case):
    """The way that dcmem's choice is furthest behind, and dcmem's time over its."""
    ratios = {**peers_of(launches, case, "ratios"), **peers_of(launches, case, "way_ratios")}
    ratios = {way: ratio for way, ratio in ratios.items() if ratio is not None}
    if not ratios:
        return None, None
    name = max(ratios, key=ratios.get)
    return name, ratios[name]


def transfer_claims(runs):
    lines = []
    loose = runs.get("loose", [])
    cases = [entry["case"] for entry in loose[0] if entry["case"].startswith("transfer-")] if loose else []
    for case in cases:
        name, ratio = best_way(loose, case)
        lines.append(Claim(f"{case}: at least 0.95 of the best route", 1 / 0.95, ratio, "x",
                           f"best: {name}" if name else ""))
        if is_large_transfer(case):
            lines.append(Claim(f"{case}: ahead of the driver's copy", 1,
                               peers_of(loose, case, "ratios").get("driver"), "x", is_strict=True))
    return lines


def prize(runs):
    """The open prize: churn at 25 ns and 1.15 x together, for each policy."""
    found = []
    for policy in ["loose", "tight"]:
        ns = value_of(runs.get(policy, []), "churn", "dcmem")
        resident = value_of(runs.get(policy, []), "churn-resident", "dcmem")
        if ns is not None and resident is not None:
            found.append((policy, ns, resident))
    return found


def table(head, rows, is_markdown):
    """Rows of text as a table; the first column is left, the others right."""
    if is_markdown:
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row):
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), "-" * (sum(widths) + 2 * len(widths) - 2), *map(line, rows)])


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}"


def claims_table(lines, is_markdown=False):
    verdicts = {True: "yes", False: "NO", None: "not measured"}
    rows = []
    for claim in lines:
        sign = "< " if claim.is_strict else "≤ "
        unit = f" {claim.unit}" if claim.unit else ""
        limit = f"{claim.wanted:.4g}"
        got = number(claim.got) if claim.got is None or claim.got < 5 or claim.unit != "x" else f"{claim.got:.1f}"
        # A got that rounds to its limit without meeting it would look like an error of ours.
        if claim.is_met is False and number(claim.got) == number(claim.wanted):
            got = f"{claim.got:.4f}"
        rows.append([claim.text, sign + limit + unit, got + (unit if claim.got is not None else ""),
                     verdicts[claim.is_met], claim.note])
    return table(["claim", "wanted", "got", "ok?", ""], rows, is_markdown)
