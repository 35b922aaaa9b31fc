"""MODEL SEED KIND N: descriptions of an edit's sources."""
import sys
sys.path.insert(0, "benchmarks")
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.scenes import source_caption
import starflow_v.pipelines.describing as D
model, seed, kind, n = sys.argv[1:]
tasks.SEED = int(seed)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
right = {1: [], 2: []}; why = {"model": 0, "search": 0}
made = []
orig = D._Likelihood.__init__
def init(self, *a, **k):
    orig(self, *a, **k); made.append(self)
D._Likelihood.__init__ = init
prior = pipe.caption_patterns
for it in tasks.held_out_edits(own, kind, int(n)):
    made.clear()
    (found,) = pipe.describe(tasks.film(it.before, own)); true = source_caption(it.before)
    two = len(it.before.objects)
    def parts(c):
        if two < 2: return c
        head, bg = c.split(" on ", 1); return (frozenset(head.split(" and ")), bg)
    ok = parts(found) == parts(true) if two == 2 and " and a " in found else found == true
    right[two].append(ok)
    if not ok and two == 2:
        a, b = made[0]([true, found]); which = "search" if a > b else "model"; why[which] += 1
        print("  ", which, "%.1f" % (a - b), "| true:", true, "| found:", found)
    elif not ok: print("   one | true:", true, "| found:", found)
print(model, seed, kind, {k: (sum(v), len(v)) for k, v in right.items()}, why)
