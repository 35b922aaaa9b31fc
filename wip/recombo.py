"""MODEL SEED KIND W...: as combo.py, with its descriptions."""
import json, os, sys, time
sys.path.insert(0, "benchmarks")
import numpy as np
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.pipelines.describing import SURE
from starflow_v.evaluation.edit_checker import check_edit
model, seed, kind, *ws = sys.argv[1:]
tasks.SEED = int(seed)
path = f"runs/combo_{os.path.basename(model)}_{seed}_{kind.replace(' ','_')}.json"
rows = json.load(open(path))
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
for w in ws:
    for first, some in tasks.batches(tasks.held_out_edits(own, kind, len(rows)), size=10):
        films = [tasks.film(it.before, own) for it in some]
        sp = [r["text"] if r["p"] > SURE else "" for r in rows[first:first+len(some)]]
        clips = pipe(films, [it.instruction for it in some], generator=tasks.seeded(first, len(some)), source_prompt=sp, **({"guidance": __import__("starflow_v").DensityGuidance(float(w))})).frames
        for i, (c, it) in enumerate(zip(from_unit(clips), some)):
            v = check_edit(c, it); rows[first+i][w] = [bool(v.done), bool(v.kept)]
    keys = [k for k in rows[0] if k.replace(".", "").isdigit()]
    for a in (w,):
        print(kind, w, {b: tuple(np.array([x[a if x["told"] else b] for x in rows]).mean(0).round(2).tolist()) for b in keys}, "and as untold", {b: tuple(np.array([x[b if x["told"] else a] for x in rows]).mean(0).round(2).tolist()) for b in keys}, flush=True)
    json.dump(rows, open(path, "w"))
