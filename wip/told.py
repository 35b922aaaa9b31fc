"""MODEL SEED N auto|oracle|one|none KINDS... ; W=guidance"""
import os, sys, time
sys.path.insert(0, "benchmarks")
import numpy as np
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import source_caption
from starflow_v.evaluation.edit_checker import check_edit
model, seed, n, mode, *kinds = sys.argv[1:]
tasks.SEED = int(seed); n = int(n)
w = float(os.environ["W"]) if "W" in os.environ else None
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
for kind in kinds:
    start = time.time(); verdicts = []
    masked = kind in ("inpaint", "outpaint")
    for first, some in tasks.batches(tasks.held_out_edits(own, kind, n), size=1 if masked else 10):
        region = some[0].region
        films = [tasks.film(it.before, own) for it in some]
        if masked or mode == "none": sp = ""
        elif mode == "oracle": sp = [source_caption(it.before) for it in some]
        elif mode == "one": sp = [c if " and a " not in c else "" for c in pipe.describe(films)]
        else: sp = None
        clips = pipe(films, [it.instruction for it in some], mask=region and region.mask(height=own.height, width=own.width),
            generator=tasks.seeded(first, len(some)), guidance_scale=w, source_prompt=sp).frames
        verdicts += [check_edit(c, it) for c, it in zip(from_unit(clips), some, strict=True)]
    print(model, seed, mode, w, kind, "done %.2f kept %.2f" % (np.mean([v.done for v in verdicts]), np.mean([v.kept for v in verdicts])), "%.0f s" % (time.time()-start), flush=True)
