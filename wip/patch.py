import json, glob
from safetensors import safe_open
from safetensors.torch import load_file, save_file
n = [0, 0]
for f in sorted(glob.glob("runs/embedded/two_latents/v2v*.safetensors")):
    m = dict(safe_open(f, "pt").metadata()); caps = json.loads(m["captions"])
    for size, rows in caps.items():
        for i, r in enumerate(rows):
            if len(r) == 1:
                n[0] += 1
                out = any(w in r[0] for w in ("outpaint", "border", "beyond"))
                rows[i] = [r[0], "extend the picture beyond its borders" if out else "fill in the masked region"]
            elif " and a " in r[-1][len(r[0]):]:
                n[1] += 1; rows[i] = r[:2]
    m["captions"] = json.dumps(caps); save_file(load_file(f), f, metadata=m)
print(n)
