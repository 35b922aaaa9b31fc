"""The data that a configuration names."""

from __future__ import annotations

from functools import partial

from starflow_v.data.metadata import read_folder
from starflow_v.data.tar_shards import read_tar_shards
from starflow_v.training.data.digits import DigitFlowData
from starflow_v.training.data.files import FileFlowData
from starflow_v.training.data.flow_data import FlowData
from starflow_v.training.data.scenes import SceneFlowData
from starflow_v.training.data.settings import DigitData, FolderData, TarData
from starflow_v.training.flow_settings import LatentSettings
from starflow_v.vae import Codec


def open_data(settings: LatentSettings, codec: Codec) -> FlowData:
    """The data of a run; files are looked at when they are first needed."""
    data = settings.data
    if isinstance(data, FolderData):
        return FileFlowData(settings, codec, read_records=partial(read_folder, data.folder))
    if isinstance(data, TarData):
        records = partial(read_tar_shards, data.webdataset)
        return FileFlowData(settings, codec, read_records=records)
    if isinstance(data, DigitData):
        return DigitFlowData(settings, codec)
    return SceneFlowData(settings, codec)
