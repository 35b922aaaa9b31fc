import sys, torch
from starflow_v import Int8Storage, PlainStorage, StarFlowVPipeline
PROMPT = "a red circle moves right on a blue background"
pipe = StarFlowVPipeline.from_pretrained(sys.argv[1]); pipe.set_progress_bar_config(disable=True)
def run(n, w, p=PROMPT):
    return pipe([p]*n, generator=[torch.Generator().manual_seed(s) for s in range(n)], output_type="pt", guidance_scale=w).frames
for w in (0.0, None):
    ref = run(32, w)
    for name, st in (("bf16", PlainStorage(torch.bfloat16)), ("int8", Int8Storage())):
        pipe.set_cache_storage(st); e = (run(32, w)-ref).square().flatten(1).mean(1); pipe.set_cache_storage(PlainStorage())
        d = -10*torch.log10(e+1e-12); print(w, name, "median %.1f" % d.median(), d.sort().values.round().int().tolist(), flush=True)
