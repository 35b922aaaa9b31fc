"""MODEL SEED FIRST LAST W: remove, per number of things and told or not."""
import os, sys, time
sys.path.insert(0, "benchmarks")
import numpy as np
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import Attributes, source_caption
from starflow_v.pipelines.describing import SURE
from starflow_v.evaluation.edit_checker import check_edit
from starflow_v.evaluation.scene_checker import read_objects
model, seed, n, *ws = sys.argv[1:]
tasks.SEED = int(seed); n = int(n); ws = [float(w) for w in ws]
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe); start = time.time(); res = {w: {} for w in ws}
for first, some in tasks.batches(tasks.held_out_edits(own, "remove", n), size=10):
    films = [tasks.film(it.before, own) for it in some]
    found = pipe._describe([np.asarray(f.frames if hasattr(f,'frames') else f) for f in films], frame_rate=own.fps)
    sp = [f.text if f.probability > SURE else "" for f in found]
    for w in ws:
        clips = pipe(films, [it.instruction for it in some], generator=tasks.seeded(first, len(some)), guidance_scale=w, source_prompt=sp).frames
        for c, it, s, f in zip(from_unit(clips), some, sp, found):
            v = check_edit(c, it); key = (len(it.before.objects), "told" if s else "untold")
            right = "" if not s else ("right" if s == source_caption(it.before) else "wrong")
            res[w].setdefault((*key, right), []).append((v.done, v.kept))
            if not v.kept: print(w, key, right, it.instruction, "|", source_caption(it.before), "|", f.text, round(f.probability, 3), "SEEN", [(a.color,a.shape,a.size,a.motion,a.background) for a in read_objects(c)], flush=True)
    print(first, "%.0f s" % (time.time()-start), flush=True)
for w in ws:
    a = np.array(sum(res[w].values(), [])); print(model, seed, w, "done %.2f kept %.2f" % tuple(a.mean(0)), {k: (len(v), *np.mean(v, 0).round(2)) for k, v in res[w].items()})
