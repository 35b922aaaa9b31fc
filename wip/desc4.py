import sys, time
sys.path.insert(0, "benchmarks")
import numpy as np, torch, tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.scenes import canonical_caption
import starflow_v.pipelines.describing as D
from starflow_v.text import patterns as TP
from dataclasses import replace
model, seed, n, *kinds = sys.argv[1:]
tasks.SEED = int(seed); n = int(n)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
P = replace(pipe.caption_patterns, moving={})
cond = pipe.conditions_for(height=64, width=64, num_frames=1, frame_rate=8)
searches = []
orig = TP._Search.__init__
def init(self, *a): orig(self, *a); searches.append(self)
TP._Search.__init__ = init
def same(found, scene):
    true = canonical_caption(scene, moving=False)
    if len(scene.objects) < 2 or " and a " not in found: return found == true
    f, t = (c.rsplit(" on ", 1) for c in (found, true))
    return f[1] == t[1] and set(f[0].split(" and ")) == set(t[0].split(" and "))
rows = []
for kind in kinds:
  for it in tasks.held_out_edits(own, kind, n):
    film = tasks.film(it.before, own); searches.clear()
    with torch.no_grad(): f = TP.most_likely(P, D._Likelihood(pipe, [film[i:i+1] for i in (0, 8, 16)], cond))
    asked = searches[0]._asked
    pat = [P.patterns[2] if " and a " in c else (P.patterns[0] if c.startswith("nothing") else P.patterns[1]) for c in asked]
    sc = np.array([asked[c] + P.log_prior(p) for c, p in zip(asked, pat)]); sc = np.exp(sc - sc.max()); post = 1 / sc.sum()
    rows.append((len(it.before.objects), " and a " in f, same(f, it.before), post)); print(*rows[-1][:3], "%.3f" % post, flush=True)
