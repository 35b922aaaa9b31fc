"""MODEL SEED N KIND TAU:W ...: edits told nothing, guidance gated by KL a token; tau 0: as now."""
import sys, time
sys.path.insert(0, "benchmarks")
from dataclasses import dataclass
import numpy as np, torch
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import source_caption
from starflow_v.flow.affine import AffineParams
from starflow_v.flow.guidance import DensityGuidance
from starflow_v.evaluation.edit_checker import check_edit
MODE, model, seed, n, kind, told, *ws = sys.argv[1:]
tasks.SEED = int(seed); n = int(n); ws = [tuple(map(float, w.split(":"))) for w in ws]
seen = []
@dataclass(frozen=True)
class Gated(DensityGuidance):
    tau: float = 0.0
    def __call__(self, c, u):
        out = super().__call__(c, u)
        if self.tau == 0: return out
        r = c.scale / u.scale
        kl = (-r.log() + (r.square() + ((c.shift - u.shift) / u.scale).square() - 1) / 2).mean(-1, keepdim=True)
        seen.append(kl.flatten().float())
        if MODE == "soft":
            g = kl / (kl + self.tau)
            return AffineParams(u.shift + g * (out.shift - u.shift), u.scale * (out.scale / u.scale) ** g)
        base = c if MODE == "cond" else u
        if MODE == "frame": kl = kl.mean(-2, keepdim=True)
        on = (kl > self.tau)
        return AffineParams(torch.where(on, out.shift, base.shift), torch.where(on, out.scale, base.scale))
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe); start = time.time(); res = {w: {1: [], 2: []} for w in ws}
for first, some in tasks.batches(tasks.held_out_edits(own, kind, n), size=10):
    if told == 'two': some = [it for it in some if len(it.before.objects) == 2]
    if not some: continue
    films = [tasks.film(it.before, own) for it in some]
    for tau, w in ws:
        sp = [source_caption(it.before) if told == "one" and len(it.before.objects) == 1 else "" for it in some]
        clips = pipe(films, [it.instruction for it in some], generator=tasks.seeded(first, len(some)), guidance=Gated(w, tau=tau), source_prompt=sp).frames
        for c, it in zip(from_unit(clips), some):
            v = check_edit(c, it); res[tau, w][len(it.before.objects)].append((v.done, v.kept))
    if seen:
        k = torch.cat(seen); print(first, "kl quantiles", [round(float(q), 4) for q in torch.quantile(k[:1000000], torch.tensor([.1,.25,.5,.75,.9,.99]))], "%.0f s" % (time.time()-start), flush=True); seen.clear()
    for w in ws: print(first, w, {k: (len(v), *np.mean(v, 0).round(2).tolist()) for k, v in res[w].items() if v}, flush=True)
