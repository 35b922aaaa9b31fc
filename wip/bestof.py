"""MODEL SEED N CANDS KINDS...: choose among candidates by likelihood. W=guidance"""
import os, sys, time
sys.path.insert(0, "benchmarks")
import numpy as np, torch
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.data.pixels import from_unit, hide, to_frames
from starflow_v.flow.likelihood import LOG_TAU
from starflow_v.evaluation.edit_checker import check_edit
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.text import tell_source
model, seed, n, k, *kinds = sys.argv[1:]
tasks.SEED = int(seed); n = int(n); k = int(k)
w = float(os.environ["W"]) if "W" in os.environ else None
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model); pipe.set_progress_bar_config(disable=True)
own = tasks.stream_settings(pipe)
flow, codec = pipe.flow, pipe.codec
def per_frame(tokens, text, grid):
    z, ld = flow.deep(tokens, text, grid)
    return (ld.sum(2) - ((z.square() + LOG_TAU) / 2).sum((2, 3)))
def noise_like(x, seed):
    children = seed_children(torch.Generator().manual_seed(seed), 1)
    e = noise_frames(children, tuple(x.shape[2:]), frames=x.shape[1], device=x.device)
    return torch.cat(list(e), dim=1).expand_as(x)
@torch.no_grad()
def scores(film, ys, prompt, draws=2):
    S = codec.encode(to_frames([film])); Y = codec.encode(to_frames(list(ys)))
    out = 0
    for d in range(draws):
        s = pipe.noised(S, noise_like(S, 2*d)); y = pipe.noised(Y, noise_like(Y, 2*d+1))
        both = torch.cat([s.expand(len(y), -1, -1, -1, -1), y], 1)
        grid = flow.grid(both); t = flow.forward_shallow(both); m = s.shape[1]
        cond = pipe.conditions_for(height=64, width=64, num_frames=17, frame_rate=8, task="v2v")
        text, null = pipe.encode_prompt([prompt] * len(y), do_classifier_free_guidance=True, conditions=cond)
        a = per_frame(t, text, grid)[:, m:].sum(1); b = per_frame(t, null, grid)[:, m:].sum(1)
        cond = pipe.conditions_for(height=64, width=64, num_frames=17, frame_rate=8)
        _, null = pipe.encode_prompt([prompt] * len(y), do_classifier_free_guidance=True, conditions=cond)
        c = per_frame(t[:, m:], null, grid).sum(1)
        out = out + torch.stack([a, a - b, a - c]) / draws
    return out
for kind in kinds:
    start = time.time(); single = []; chosen = []; any_ = []; rows = []; ts = 0
    masked = kind in ("inpaint", "outpaint")
    for i, it in enumerate(tasks.held_out_edits(own, kind, n)):
        film = tasks.film(it.before, own)
        region = it.region
        mask = region and region.mask(height=64, width=64)
        told = "" if masked else pipe.describe(film)[0]
        gens = [torch.Generator().manual_seed(tasks.SEED + i + 1000 * j) for j in range(k)]
        clips = pipe([film] * k, [it.instruction] * k, mask=mask, generator=gens, guidance_scale=w, source_prompt=told).frames
        ys = from_unit(clips)
        v = [check_edit(y, it) for y in ys]
        vs = np.array([[x.done, x.kept] for x in v])
        src = film if mask is None else hide(film, np.broadcast_to(mask, film.shape[:3]))
        t0 = time.time()
        prompt = tell_source(it.instruction, told) if told else it.instruction
        sc = scores(src, ys, prompt).numpy(); ts += time.time() - t0
        single.append(vs.mean(0)); any_.append((vs.all(1)).any())
        chosen.append([vs[0], *[vs[row.argmax()] for row in sc]])
    c = np.array(chosen).mean(0)
    print(kind, "mean of single", np.round(np.mean(single, 0), 3), "any", np.mean(any_), "first", c[0], "| p(y|S,c)", c[1], "| /p(y|S)", c[2], "| /p(y)", c[3], "%.0f s, scores %.0f" % (time.time() - start, ts), flush=True)
