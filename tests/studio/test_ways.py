from starflow_v.pipelines.defaults import Defaults
from starflow_v.studio.tabs.ways import FILL, FORGET, INSTRUCT, usual_weights


def test_every_way_has_the_guidance_that_it_has_elsewhere() -> None:
    """Inversion began with that of an instruction."""
    size = {"height": 64, "width": 64, "num_frames": 9, "frame_rate": 8}
    edits = {"edit_guidance_scale": 1.0, "untold_guidance": 1.0, "edit_fidelity": 1.0}
    weights = usual_weights(Defaults(**size, guidance_scale=3.0, **edits))
    assert weights == {INSTRUCT: 1.0, FILL: 3.0, FORGET: 3.0}
