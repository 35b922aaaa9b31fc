import os, sys
sys.path.insert(0, "benchmarks")
import numpy as np, torch, tasks
from PIL import Image
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit, hide
from starflow_v.data.scenes import Attributes
from starflow_v.evaluation.edit_checker import check_edit
from starflow_v.evaluation.scene_checker import read_objects
model, seed, n, kind = sys.argv[1:]
tasks.SEED = int(seed); n = int(n)
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
rows = []
for i, it in enumerate(tasks.held_out_edits(own, kind, n)):
    film = tasks.film(it.before, own)
    mask = it.region and it.region.mask(height=64, width=64)
    y = from_unit(pipe([film], [it.instruction], mask=mask, generator=tasks.seeded(i, 1)).frames)[0]
    v = check_edit(y, it)
    if not (v.done and v.kept):
        rec = from_unit(tasks.reconstruct(pipe, [tasks.film(it.after, own)]))[0]
        vr = check_edit(rec, it)
        print(i, "codec ok" if vr.done and vr.kept else "CODEC FAILS", it.instruction, "| true", [(a.color, a.shape, a.size, a.motion, a.background) for a in Attributes.of(it.after)], "| seen", [(a.color, a.shape, a.size, a.motion, a.background) for a in read_objects(y)], flush=True)
        hid = film if mask is None else hide(film, np.broadcast_to(mask, film.shape[:3]))
        rows.append(np.concatenate([np.concatenate(list(c[::4]), 1) for c in (tasks.film(it.after, own), hid, y)], 1))
im = Image.fromarray(np.concatenate(rows[:14], 0)); im.resize((im.width * 2, im.height * 2), 0).save(f"runs/fails_{kind}.png")
