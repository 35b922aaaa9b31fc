"""MODEL SEED N [W]: inpaint, captioned and wordless apart, and which attribute fails."""
import os, sys, time
sys.path.insert(0, "benchmarks")
import numpy as np
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import Attributes
from starflow_v.evaluation.edit_checker import check_edit
from starflow_v.evaluation.scene_checker import read_objects
model, seed, n, *w = sys.argv[1:]
tasks.SEED = int(seed); n = int(n); w = float(w[0]) if w else None
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe); start = time.time(); res = {True: [], False: []}
for first, some in tasks.batches(tasks.held_out_edits(own, "inpaint", n), size=1):
    it = some[0]
    clips = pipe([tasks.film(it.before, own)], [it.instruction], mask=it.region.mask(height=own.height, width=own.width),
        generator=tasks.seeded(first, 1), guidance_scale=w).frames
    clip = from_unit(clips)[0]
    v = check_edit(clip, it); quiet = it.instruction == "fill in the masked region"
    res[quiet].append(v.done)
    if not v.done:
        print("quiet" if quiet else "told", [str(a) for a in Attributes.of(it.after)], "SEEN", [str(a) for a in read_objects(clip)], flush=True)
print(model, seed, w, "all %.3f told %.2f quiet %.2f (%d)" % (np.mean(res[True]+res[False]), np.mean(res[False]), np.mean(res[True]), len(res[True])), "%.0f s" % (time.time()-start), flush=True)
