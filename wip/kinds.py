"""KIND... : tasks.edit alone, of the embedded model. FRAMES, CLIPS, T from the environment."""
import os, sys, time
sys.path.insert(0, "benchmarks")
from types import SimpleNamespace
import tasks
from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.assets import embedded_model
pipe = StarFlowVVideoToVideoPipeline.from_pretrained(embedded_model()); pipe.set_progress_bar_config(disable=True)
f = os.environ.get("FRAMES")
o = SimpleNamespace(clips=int(os.environ.get("CLIPS", 100)), frames=int(f) if f else None, guidance=None, fidelity=None, untold=False, temperature=1.0)
for kind in sys.argv[1:]:
    s = time.time(); r = tasks.edit(pipe, kind, o); print(kind, o.frames, o.clips, "done %.3f kept %.3f" % (r["done"], r["kept"]), "%.0f s" % (time.time()-s), flush=True)
