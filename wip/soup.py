"""OUT MODEL:weight ... : mean of flows and text encoders."""
import json, shutil, sys
from dataclasses import asdict
from pathlib import Path
from safetensors.torch import load_file, save_file
from starflow_v.data.scenes import source_patterns
out, *parts = sys.argv[1:]
out = Path(out)
parts = [(Path(p.rsplit(":", 1)[0]), float(p.rsplit(":", 1)[1])) for p in parts]
shutil.rmtree(out, ignore_errors=True)
shutil.copytree("starflow_v/assets/scenes", out)
for f in ("flow/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
    total = None
    for folder, w in parts:
        state = load_file(folder / f)
        if total is None:
            total = {k: v.double() * w for k, v in state.items()}; ref = state
        else:
            for k, v in state.items(): total[k] += v.double() * w
    save_file({k: v.to(ref[k].dtype) for k, v in total.items()}, out / f, metadata={"format": "pt"})
index = json.loads((out / "model_index.json").read_text())
p = asdict(source_patterns())
index["caption_patterns"] = json.loads(json.dumps(p))
index["edit_guidance_scale"] = 3.5
(out / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
