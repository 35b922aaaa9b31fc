import sys, time
sys.path.insert(0, "benchmarks")
import numpy as np, torch, tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.scenes import source_caption, canonical_caption
import starflow_v.pipelines.describing as D
from starflow_v.text import most_likely, CaptionPatterns
from dataclasses import replace
model, seed, n, *kinds = sys.argv[1:]
tasks.SEED = int(seed); n = int(n)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
P = pipe.caption_patterns
P = replace(P, moving={})
cond = lambda f: pipe.conditions_for(height=64, width=64, num_frames=f, frame_rate=8)
res, ts = {}, {}
def same(found, scene):
    true = canonical_caption(scene, moving=False)
    if len(scene.objects) < 2 or " and a " not in found: return found == true
    f, t = (c.rsplit(" on ", 1) for c in (found, true))
    return f[1] == t[1] and set(f[0].split(" and ")) == set(t[0].split(" and "))
for kind in kinds:
  for it in tasks.held_out_edits(own, kind, n):
    film = tasks.film(it.before, own)
    for name, ends in {"0 16": (0, 16), "0 8 16": (0, 8, 16), "five": (0, 4, 8, 12, 16), "0 0 16 16": (0, 0, 16, 16)}.items():
        t = time.time()
        with torch.no_grad(): f = most_likely(P, D._Likelihood(pipe, [film[i:i+1] for i in ends], cond(1)))
        res.setdefault((kind, name, len(it.before.objects)), []).append(same(f, it.before)); ts.setdefault(name, []).append(time.time() - t)
for k, v in sorted(res.items()): print(k, "%.3f" % np.mean(v), len(v), flush=True)
print({k: round(np.mean(v), 2) for k, v in ts.items()})
