"""Video and images at the border of the library: files outside, uint8 arrays inside.

Frames are uint8 arrays (F,H,W,3), RGB, as a screen shows them: turned as the file's metadata says,
with square pixels, transparency laid over white, eight bits a channel. Only this folder imports
PyAV and decord.

- `read_video`, `iter_frames`, `probe_video`: clips, at their own times or at a wanted rate
- `read_image`: stills from files, PIL images, arrays and tensors
- `fit`: resize and crop to a size
- `VideoWriter`: mp4, gif, webp and folders of PNGs, frame by frame as they come

Files are data from strangers: `safety` says what is opened at all, and how large it may be.
"""

from starflow_v.data.video_io.decord_decoder import DecordDecoder
from starflow_v.data.video_io.frames import Decoder, Frame, Frames, TimedFrame, VideoInfo
from starflow_v.data.video_io.images import is_still, read_image
from starflow_v.data.video_io.pyav_decoder import PyAVDecoder
from starflow_v.data.video_io.reading import Video, iter_frames, probe_video, read_video
from starflow_v.data.video_io.resize import fit
from starflow_v.data.video_io.safety import MediaError, MediaLimits
from starflow_v.data.video_io.writing import VideoWriter

__all__ = [
    "Decoder",
    "DecordDecoder",
    "Frame",
    "Frames",
    "MediaError",
    "MediaLimits",
    "PyAVDecoder",
    "TimedFrame",
    "Video",
    "VideoInfo",
    "VideoWriter",
    "fit",
    "is_still",
    "iter_frames",
    "probe_video",
    "read_image",
    "read_video",
]
