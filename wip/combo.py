"""MODEL SEED N KIND...: verdicts at several weights, told or not kept apart."""
import json, os, sys, time
sys.path.insert(0, "benchmarks")
import numpy as np
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.pipelines.describing import SURE
from starflow_v.data.scenes import source_caption
from starflow_v.evaluation.edit_checker import check_edit
model, seed, n, *kinds = sys.argv[1:]
tasks.SEED = int(seed); n = int(n); WS = (1.0, 2.5, 3.5)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
for kind in kinds:
    start = time.time(); rows = []
    for first, some in tasks.batches(tasks.held_out_edits(own, kind, n), size=10):
        films = [tasks.film(it.before, own) for it in some]
        found = pipe._describe(films, frame_rate=own.fps)
        sp = [f.text if f.probability > SURE else "" for f in found]
        v = {}
        for w in WS:
            clips = pipe(films, [it.instruction for it in some], generator=tasks.seeded(first, len(some)), guidance_scale=w, source_prompt=sp).frames
            v[w] = [check_edit(c, it) for c, it in zip(from_unit(clips), some)]
        for i, it in enumerate(some):
            rows.append({"things": len(it.before.objects), "told": bool(sp[i]), "p": found[i].probability, "text": found[i].text, "true": source_caption(it.before), **{str(w): (bool(v[w][i].done), bool(v[w][i].kept)) for w in WS}})
    json.dump(rows, open(f"runs/combo_{os.path.basename(model)}_{seed}_{kind.replace(' ','_')}.json", "w"))
    for a in WS:
        for b in WS:
            r = np.array([x[str(a if x["told"] else b)] for x in rows]); print(kind, "told w", a, "untold w", b, "done %.2f kept %.2f" % tuple(r.mean(0)), flush=True)
    print("%.0f s" % (time.time() - start), flush=True)
