import sys
sys.path.insert(0, "benchmarks")
import numpy as np, torch, tasks
from scipy.ndimage import distance_transform_edt
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.scenes import source_caption
import starflow_v.pipelines.describing as D
from starflow_v.text import most_likely, CaptionPatterns
model, seed, n = sys.argv[1:4]
tasks.SEED = int(seed); n = int(n)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
from starflow_v.data.scenes import source_patterns
P0 = source_patterns()
one = P0.patterns[1]
P1 = CaptionPatterns(patterns=[one], words=P0.words, moving=P0.moving)
cond = lambda f: pipe.conditions_for(height=64, width=64, num_frames=f, frame_rate=8)
def desc(clip, ends, P):
    with torch.no_grad():
        st = D._Likelihood(pipe, [clip[i:i+1] for i in ends], cond(1)); mv = D._Likelihood(pipe, [clip], cond(17))
        return most_likely(P, st, mv)
def nearest(f, m):
    _, (r, c) = distance_transform_edt(m, return_indices=True)
    return f[:, r, c]
def median(f, m):
    out = f.copy(); out[:, m] = np.median(f[:, ~m].reshape(-1, 3), 0).astype(np.uint8); return out
def smooth(f, m):
    # background: temporal median then nearest
    bg = np.median(f, 0).astype(np.uint8)[None]
    _, (r, c) = distance_transform_edt(m, return_indices=True)
    out = f.copy(); out[:, m] = bg[:, r, c][:, m]; return out
names = "size color shape motion bg".split()
def attrs(c):
    head, bg = c.rsplit(" on ", 1); w = head.split()
    return w[1], w[2], w[3], " ".join(w[4:]), bg
res = {}
for it in tasks.held_out_edits(own, "inpaint", n):
    if len(it.before.objects) > 1: continue
    film = tasks.film(it.before, own); true = source_caption(it.before)
    mask = it.region.mask(height=64, width=64)
    out = []
    for fn in (nearest, median, smooth):
        for ends in ([0, 16], [0, 4, 8, 12, 16]):
            f = desc(fn(film, mask), ends, P1)
            res.setdefault((fn.__name__, len(ends)), []).append([a == b for a, b in zip(attrs(f), attrs(true))]); out.append(f)
for k, v in res.items(): print(k, dict(zip(names, np.mean(v, 0).round(2))), "c+s+m+bg", np.mean([all(x[1:]) for x in v]).round(2), len(v), flush=True)
