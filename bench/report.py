"""Tables and plots of what bench/run measured. By itself: bench/report.py BENCH.JSON… DIR, which writes DIR/benchmarks-*.svg and prints the
tables in Markdown. Of several runs what was measured last counts."""
import json
import pathlib
import statistics
import sys

TITLES = {"cold": "cold", "warm": "warm", "moved": "warm, other checkout", "leaf": "leaf edited", "root": "root edited",
          "branch": "branch switched"}
OURS = {"kache": "", "kache-scripts": ", scripts answered"}
COLORS = {"plain": "#8c8c8c", "floor": "#c9c9c9", "kache": "#1b7837", "kache-scripts": "#5aae61", "sccache": "#d95f02", "rust-kache": "#7570b3",
          "mbx": "#e7298a", "ccache": "#e6ab02"}


def middle(runs, what="wall"):
    return statistics.median(r[what] for r in runs)


def seconds(s):
    return "%.0f ms" % (s * 1000) if s < 10 else "%.1f s" % s


def table(one):
    """One project in one mode, for the terminal."""
    lines = ["== %s, %s%s" % (one["work"], one["mode"], ", %d compiler calls" % one["calls"] if one["calls"] else "")]
    for scene, by_tool in one["scenes"].items():
        lines.append("  " + TITLES[scene])
        for tool, runs in by_tool.items():
            walls = [r["wall"] for r in runs]
            lines.append("    %-12s %9s   (%s to %s)  cpu %9s  written %6.0f MB" % (
                tool, seconds(middle(runs)), seconds(min(walls)), seconds(max(walls)), seconds(middle(runs, "cpu")),
                middle(runs, "written") / 1e6))
    for tool, n in one["recompiled"].items():
        if n:
            lines.append("  after a restore %s compiles %d again" % (tool, n))
    return "\n".join(lines)


def hits(results):
    floor = results.get("floor", {}).get("us")
    lines = ["== one hit, 20 sources and 5 dependencies"]
    for tool, r in results.items():
        lines.append("    %-12s %8.0f us (a tenth below %.0f)%s  calls %s  instructions %s  memory %d KiB" % (
            tool, r["us"], r["us_tenth"], "  over the floor %8.0f us" % (r["us"] - floor) if floor else "",
            r["calls"], r["instructions"], r["rss_kib"]))
    return "\n".join(lines)


def c_calls(part, files):
    """c-hit and c-miss, for the terminal."""
    lines = []
    for name, one in files.items():
        lines.append("== %s: %s, %d headers" % (part, name, one["headers"]))
        for tool, r in one["tools"].items():
            more = "  calls %s  instructions %s" % (r["calls"], r["instructions"]) if r.get("calls") else ""
            if "over" in r:
                more = "  beyond the compile %8.0f us (%.0f to %.0f), cpu %.0f us" % (
                    r["over"]["us"], r["over"]["us_low"], r["over"]["us_high"], r["over_cpu"]["us"])
            lines.append("    %-14s %9.0f us (%.0f to %.0f, %d rounds)  cpu %.0f us%s" % (
                tool, r["us"], r["us_low"], r["us_high"], r["rounds"], r["cpu_us"], more))
    return "\n".join(lines)


def c_project(name, one):
    lines = ["== %s: %s" % (name, one["what"])]
    for scene, by_tool in one["scenes"].items():
        for tool, runs in by_tool.items():
            walls = [r["wall"] for r in runs]
            lines.append("    %s %-14s %9s   (%s to %s)  cpu %9s" % (
                scene, tool, seconds(middle(runs)), seconds(min(walls)), seconds(max(walls)), seconds(middle(runs, "cpu"))))
    lines.append("    hits of a warm build: %s" % ", ".join("%s %d" % h for h in one["hits"].items()))
    return "\n".join(lines)


def c_ratios(data):
    """The same as ratios, for C. Of ccache's two ways the faster one counts."""
    found = []

    def best(tools, key, names=("ccache", "ccache-depend")):
        values = [key(tools[n]) for n in names if n in tools]
        return min(values) if values and "kache" in tools else None

    for name, one in data.get("c-hit", {}).items():
        for what, names, bound in (("ccache", ("ccache", "ccache-depend"), 4 if name == "small C" else 5), ("sccache", ("sccache",), 20)):
            theirs = best(one["tools"], lambda r: r["us"], names)
            if theirs:
                found.append(("hit, %s: %s / ours" % (name, what), theirs / one["tools"]["kache"]["us"], bound, False))
                if "floor" in one["tools"]:
                    found.append(("hit, %s: %s / floor" % (name, what), theirs / one["tools"]["floor"]["us"], None, False))
    for name, one in data.get("c-miss", {}).items():
        for what, names in (("ccache, direct mode", ("ccache",)), ("ccache, depend mode", ("ccache-depend",))):
            theirs = best(one["tools"], lambda r: r.get("over_cpu", {}).get("us", 0), names)
            if theirs and theirs > 0:
                bound = 1 / 3 if names == ("ccache",) else None
                found.append(("processor time of a miss beyond the compile, %s: ours / %s" % (name, what),
                              one["tools"]["kache"]["over_cpu"]["us"] / theirs, bound, True))
    for name, one in data.get("c-projects", {}).items():
        warm, cold = one["scenes"]["warm"], one["scenes"]["cold"]
        theirs = best(warm, middle)
        if theirs:
            found.append(("%s: warm, ours / ccache" % name, middle(warm["kache"]) / theirs, 0.6, True))
        if "kache" in cold:
            found.append(("%s: cold / warm, ours" % name, middle(cold["kache"]) / middle(warm["kache"]), 30 if name == "rocksdb" else None, False))
    return found


def c_markdown(data):
    lines = []
    names = [t for t in ("plain", "kache", "ccache", "ccache-depend", "sccache") if t in data["versions"]]
    if "plain" in names and "c-hit" in data:
        names.insert(1, "floor")
    if "c-hit" in data or "c-miss" in data:
        lines += ["| ms | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for part, title in (("c-hit", "hit"), ("c-miss", "miss")):
        for name, one in data.get(part, {}).items():
            tools = one["tools"]
            rounds = max(r["rounds"] for r in tools.values())
            lines.append("| %s, %s, %d headers (%d rounds) | " % (title, name, one["headers"], rounds) + " | ".join(
                "%.2f (%.2f-%.2f)" % tuple(tools[t][k] / 1000 for k in ("us", "us_low", "us_high")) if t in tools else "" for t in names) + " |")
            if part == "c-hit":
                lines.append("| system calls | " + " | ".join(str(tools[t].get("calls") or "") if t in tools else "" for t in names) + " |")
            else:
                for what, key in (("beyond the compile", "over"), ("processor time of that", "over_cpu")):
                    lines.append("| %s | " % what + " | ".join(
                        "%.2f" % (tools[t][key]["us"] / 1000) if key in tools.get(t, {}) and (t != "sccache" or key == "over") else ""
                        for t in names) + " |")
    if "c-projects" in data:
        lines += ["", "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for name, one in data.get("c-projects", {}).items():
        for scene, by_tool in one["scenes"].items():
            lines.append("| %s, %s | " % (name, scene) + " | ".join(
                "%s (%d x)" % (seconds(middle(by_tool[t])), len(by_tool[t])) if t in by_tool else "" for t in names) + " |")
        lines.append("| %s, hits | " % name + " | ".join(str(one["hits"].get(t, "")) for t in names) + " |")
    return lines + [""] if lines else []


def ratios(data):
    """(name, value, bound, at most?) of everything that has a bound."""
    found = []
    for one in data["builds"]:
        scenes, name = one["scenes"], "%s, %s" % (one["work"], one["mode"])

        def ratio(scene, a, b, other=None):
            if a in scenes.get(scene, {}) and b in scenes.get(other or scene, {}):
                return middle(scenes[scene][a]) / middle(scenes[other or scene][b])
            return None

        for scene in ("warm", "moved"):
            peers = [middle(runs) for tool, runs in scenes.get(scene, {}).items() if tool not in ("plain", "floor") + tuple(OURS)]
            for ours, what in OURS.items():
                if ours not in scenes.get(scene, {}):
                    continue
                found.append(("%s: %s%s / floor" % (name, TITLES[scene], what), ratio(scene, ours, "floor"), 1.15, True))
                if peers:
                    found.append(("%s: %s, best peer / ours%s" % (name, TITLES[scene], what), min(peers) / middle(scenes[scene][ours]),
                                  2.5 if one["work"] == "async" else None, False))
        for ours, what in OURS.items():
            found.append(("%s: cold%s / no cache" % (name, what), ratio("cold", ours, "plain"), 1.03, True))
            found.append(("%s: leaf edited%s / plain incremental" % (name, what), ratio("leaf", ours, "plain"), 1.10, True))
    per_hit = data.get("hits", {})
    if "floor" in per_hit and "kache" in per_hit:
        ours = per_hit["kache"]["us"] - per_hit["floor"]["us"]
        for tool, bound in (("sccache", 50), ("rust-kache", 10)):
            if tool in per_hit:
                found.append(("over the floor per hit: %s / ours" % tool, (per_hit[tool]["us"] - per_hit["floor"]["us"]) / ours, bound, False))
    disk = data.get("disk", {})
    if "plain" in disk and "kache" in disk:
        found.append(("disk: 5 target directories + store / one target directory",
                      max(disk["kache"]["freed_kib"], 0) / max(disk["plain"]["freed_kib"], 1), 2.0, True))
    return [r for r in found + c_ratios(data) if r[1] is not None]


def markdown(data):
    lines = ["%s, %s, load %.1f at the beginning. %s" % (data["machine"], data["rustc"], data["load"], "; ".join(
        "%s: %s" % (k, v) for k, v in data["versions"].items() if k not in ("plain", "floor"))), ""]
    for one in data["builds"]:
        names = [t for t in COLORS if any(t in scene for scene in one["scenes"].values())]
        lines += ["**%s, %s**%s" % (one["work"], one["mode"], " (%d compiler calls)" % one["calls"] if one["calls"] else ""), "",
                  "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
        for scene, by_tool in one["scenes"].items():
            lines.append("| %s | " % TITLES[scene] + " | ".join(
                "%s (%.0f-%.0f)" % (seconds(middle(by_tool[t])), 1000 * min(r["wall"] for r in by_tool[t]),
                                    1000 * max(r["wall"] for r in by_tool[t])) if t in by_tool else "" for t in names) + " |")
        for what, title, unit in (("cpu", "CPU, warm", "s"), ("written", "written, warm", "MB")):
            by_tool = one["scenes"].get("warm", {})
            if by_tool:
                lines.append("| %s | " % title + " | ".join(
                    ("%.2f s" % middle(by_tool[t], what) if unit == "s" else "%.0f MB" % (middle(by_tool[t], what) / 1e6))
                    if t in by_tool else "" for t in names) + " |")
        again = {t: n for t, n in one["recompiled"].items() if n}
        lines += [""] + (["Compiled again after a restore: %s." % ", ".join("%s %d" % i for i in again.items()), ""] if again else [])
    if "hits" in data:
        lines += ["| one hit | time | over the floor | system calls | instructions | memory |", "|---|---|---|---|---|---|"]
        floor = data["hits"].get("floor", {"us": 0})["us"]
        for tool, r in data["hits"].items():
            lines.append("| %s | %.2f ms | %.2f ms | %s | %s | %.1f MiB |" % (
                tool, r["us"] / 1000, (r["us"] - floor) / 1000, r["calls"] or "", r["instructions"] or "", r["rss_kib"] / 1024))
        lines.append("")
    if "disk" in data:
        lines += ["| disk, async | counted by du | freed when removed |", "|---|---|---|"]
        lines += ["| %s | %.0f MiB | %.0f MiB |" % ("one target directory, plain" if t == "plain" else t + ": 5 and the store",
                                                    r["du_kib"] / 1024, r["freed_kib"] / 1024) for t, r in data["disk"].items()]
        lines.append("")
    lines += c_markdown(data)
    lines += ["| | | bound |", "|---|---|---|"]
    for name, value, bound, most in ratios(data):
        verdict = "" if bound is None else "%s %.3g%s" % ("at most" if most else "at least", bound,
                                                       "" if (value <= bound if most else value >= bound) else ": **missed**")
        lines.append("| %s | %.2f | %s |" % (name, value, verdict))
    return "\n".join(lines)


def plot(data, scene):
    """Bars of one scene: a row for each project, times over the shortest of the row's."""
    rows = [(one, one["scenes"][scene]) for one in data["builds"] if scene in one["scenes"]]
    bar, gap, left, width = 14, 12, 150, 560
    y, parts = 34, []
    longest = max((middle(runs) / min(middle(r) for r in by_tool.values()) for _, by_tool in rows for runs in by_tool.values()), default=1)
    for one, by_tool in rows:
        least = min(middle(r) for r in by_tool.values())
        parts.append('<text x="8" y="%d" class="n">%s, %s</text>' % (y + 11, one["work"], one["mode"]))
        for tool in [t for t in COLORS if t in by_tool]:
            value = middle(by_tool[tool])
            w = max(1.0, (value / least) / longest * (width - 150))
            parts.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%s %s</text>' % (
                left, y, w, bar - 2, COLORS[tool], left + w + 4, y + 10, tool, seconds(value)))
            y += bar
        y += gap
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="10">'
            '<style>.n{font-weight:bold}</style><rect width="100%%" height="100%%" fill="white"/>'
            '<text x="8" y="18" font-size="13">%s: median time of a build, shorter is better</text>%s</svg>\n'
            % (left + width, y + 6, TITLES[scene], "\n".join(parts)))


def merged(runs):
    data, builds = {}, {}
    for run in runs:
        for one in run.pop("builds"):
            known = builds.setdefault((one["work"], one["mode"]), {"scenes": {}, "recompiled": {}})
            known.update(one, scenes=dict(known["scenes"], **one["scenes"]), recompiled=dict(known["recompiled"], **one["recompiled"]),
                         calls=one["calls"] or known.get("calls"))
        versions = dict(data.get("versions", {}), **run["versions"])
        data.update(run, versions=versions)
    return dict(data, builds=list(builds.values()))


def main():
    data = merged([json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:-1]])
    for scene in dict.fromkeys(s for one in data["builds"] for s in one["scenes"]):
        (pathlib.Path(sys.argv[-1]) / ("benchmarks-%s.svg" % scene)).write_text(plot(data, scene))
    print(markdown(data))


if __name__ == "__main__":
    main()
