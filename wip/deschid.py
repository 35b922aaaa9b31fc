"""MODEL SEED N: descriptions of hidden clips."""
import sys
sys.path.insert(0, "benchmarks")
import numpy as np, torch, tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import hide
from starflow_v.data.scenes import source_caption
import starflow_v.pipelines.describing as D
from starflow_v.text import most_likely
model, seed, n = sys.argv[1:4]
tasks.SEED = int(seed); n = int(n)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
P = pipe.caption_patterns
def desc(clip, ends):
    cond = lambda f: pipe.conditions_for(height=64, width=64, num_frames=f, frame_rate=8)
    with torch.no_grad():
        st = D._Likelihood(pipe, [clip[i:i+1] for i in ends], cond(1)); mv = D._Likelihood(pipe, [clip], cond(17))
        return most_likely(P, st, mv)
res = {k: [] for k in ("two", "five")}
def score(found, true):
    return [found == true, *[sum(w in found for w in true.split()) / len(true.split())]]
for it in tasks.held_out_edits(own, "inpaint", n):
    if len(it.before.objects) > 1: continue
    film = tasks.film(it.before, own); true = source_caption(it.before)
    mask = it.region.mask(height=64, width=64)
    hid = hide(film, np.broadcast_to(mask, film.shape[:3]))
    out = []
    for k, ends in (("two", [0, 16]), ("five", [0, 4, 8, 12, 16])):
        f = desc(hid, ends); res[k].append(score(f, true)); out.append(f)
    print(true, "|", out[0], "|", out[1], flush=True)
print({k: np.mean(v, 0) for k, v in res.items()})
