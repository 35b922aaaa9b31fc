import sys
sys.path.insert(0, "benchmarks")
import numpy as np, torch, tasks
from scipy.ndimage import distance_transform_edt
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import canonical_caption, source_caption, source_patterns
from starflow_v.evaluation.edit_checker import check_edit
import starflow_v.pipelines.describing as D
from starflow_v.text import most_likely, CaptionPatterns
model, n, *seeds = sys.argv[1:]
n = int(n)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
P0 = source_patterns(); P1 = CaptionPatterns(patterns=[P0.patterns[1]], words=P0.words); P2 = CaptionPatterns(patterns=P0.patterns[1:], words=P0.words)
cond = lambda f: pipe.conditions_for(height=64, width=64, num_frames=f, frame_rate=8)
def desc(clip, ends, P):
    with torch.no_grad():
        return most_likely(P, D._Likelihood(pipe, [clip[i:i+1] for i in ends], cond(1)))
def nearest(f, m):
    _, (r, c) = distance_transform_edt(m, return_indices=True)
    return f[:, r, c]
res = {}
for seed in map(int, seeds):
    tasks.SEED = seed
    for i, it in enumerate(tasks.held_out_edits(own, "inpaint", n)):
        if it.instruction != "fill in the masked region": continue
        film = tasks.film(it.before, own); mask = it.region.mask(height=64, width=64); near = nearest(film, mask)
        forms = {"none": "", "oracle": ": " + canonical_caption(it.before), "oracle still": ": " + canonical_caption(it.before, moving=False),
                 "one": ": " + desc(near, [0, 16], P1), "both": ": " + desc(near, [0, 16], P2), "three": ": " + desc(near, [0, 8, 16], P1)}
        for k, f in forms.items():
            y = pipe([film], [it.instruction + f], mask=mask, generator=tasks.seeded(i, 1)).frames
            v = check_edit(from_unit(y)[0], it)
            res.setdefault(k, []).append(v.done and v.kept)
        print({k: int(v[-1]) for k, v in res.items()}, canonical_caption(it.before), "|", forms["one"], "|", forms["both"], flush=True)
print(model, {k: np.mean(v).round(2) for k, v in res.items()}, len(v := res["none"]))
