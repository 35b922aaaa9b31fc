"""Ranking: which caption explains a clip best, by exact likelihood; and where the clip surprises.

python demos/rank_captions.py -o outputs/surprise.webp
"""

import numpy as np
from scene import output, scene
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.video_io import VideoWriter
from starflow_v.evaluation.heat_map import heat_map


def main() -> None:
    path = output(__doc__, "surprise.webp")
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    clip, own = scene()
    captions = [own, *(scene(index)[1] for index in range(1, 4))]
    ranking = pipe.rank(clip, captions, generator=Generator().manual_seed(0))
    for place in ranking.order:
        bits, behind = ranking.scores[place].bits, ranking.behind[place]
        print(f"{bits:8.4f} bits a dimension, {behind:.4f} behind   {captions[place]}")
    jump = np.concatenate([clip[:9], clip[8::-1][:8]])  # it turns back in the middle
    score = pipe.score(jump, own, generator=Generator().manual_seed(0))
    print("bits of each latent frame:", " ".join(f"{it:.3f}" for it in score.frame_bits))
    with VideoWriter(path, pipe.defaults.frame_rate, overwrite=True) as file:
        painted = heat_map(jump, score.token_bits.numpy())
        file.write(np.concatenate([jump, painted], axis=2))
    print(path)


if __name__ == "__main__":
    main()
