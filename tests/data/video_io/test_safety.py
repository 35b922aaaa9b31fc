"""Only the named file is read: no protocols, no playlists, no pipes."""

import os
from pathlib import Path

import pytest

from starflow_v.data.video_io import Decoder, DecordDecoder, MediaError, PyAVDecoder, read_video
from starflow_v.data.video_io.safety import open_plain_file
from tests.data.video_io.clips import gray_clip, make_video


@pytest.mark.parametrize(
    "name",
    [
        "http://127.0.0.1/a.mp4",
        "file:{secret}",
        "concat:{secret}|{secret}",
        "subfile,,start,0,end,100,,:{secret}",
        "-",
        "pipe:0",
        "data:video/mp4;base64,AAAA",
        "/dev/zero",
        "{folder}",
        "{folder}/absent.mp4",
        "nul\0byte.mp4",
    ],
)
def test_paths_are_not_programs(tmp_path: Path, name: str) -> None:
    secret = make_video(tmp_path / "secret.mp4", gray_clip([60, 120]))
    with pytest.raises(MediaError):
        read_video(name.format(secret=secret, folder=tmp_path))


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile secret.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
}


@pytest.mark.parametrize("decoder", [PyAVDecoder(), DecordDecoder()], ids=["pyav", "decord"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_in_a_videos_clothes(tmp_path: Path, kind: str, decoder: Decoder) -> None:
    """By default FFmpeg goes by content: a list named evil.mp4 makes it read its neighbour."""
    if isinstance(decoder, DecordDecoder):
        pytest.importorskip("decord")
    make_video(tmp_path / "secret.mp4", gray_clip([60, 120]))
    evil = tmp_path / "evil.mp4"
    evil.write_text(PLAYLISTS[kind])
    with pytest.raises(MediaError, match=r"evil\.mp4: not a video"):
        read_video(evil, decoder=decoder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        open_plain_file(tmp_path / "pipe.mp4")


def test_names_with_colons_that_exist_are_files(tmp_path: Path) -> None:
    path = make_video(tmp_path / "plain.mp4", gray_clip([60]))
    odd = path.rename(tmp_path / "concat:a|b.mp4")
    assert len(read_video(odd).frames) == 1
