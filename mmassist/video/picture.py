"""A decoded picture to the JPEG that is stored: crop, scale, turn, compress, without ever leaving YUV."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np

from mmassist.core.item import Geometry
from mmassist.video.geometry import Orientation, fitted_box, quarter_turns

if TYPE_CHECKING:
    import av

# Bicubic; the other flags cost 0.1 ms a picture and give the correct brightness where the colour matrix changes
# (a BT.709 source), and the same bytes whatever vector instructions the processor has.
_SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"

_UNSPECIFIED = 2  # of AVColorSpace


class PictureEncoder:
    """Turns pictures into JPEG bytes; the same picture always gives the same bytes.

    The largest centred square is cut out first (``fit="squash"``: nothing is cut) and then scaled to ``size`` x
    ``size`` in YUV. JPEG readers take the colours for BT.601 in full range, so any other matrix or range is converted
    here. A picture that does not say its matrix counts as of ``untagged_matrix``.
    """

    def __init__(self, size: int, quality: int, geometry: Geometry, untagged_matrix: str = "bt601"):
        self._size = size
        self._untagged_matrix = untagged_matrix
        self._quality = quality
        self._fit = geometry.fit
        self._quarter_turns = quarter_turns(geometry.rotation_deg)
        self._graph_key: tuple[object, ...] = ()
        self._graph: av.filter.Graph | None = None

    def encode(
        self, frame: av.VideoFrame, aspect: Fraction | None = None, orientation: Orientation | None = None
    ) -> bytes:
        """Return the JPEG of one picture.

        ``aspect`` is the sample aspect ratio, None for square pixels; ``orientation`` None: as the frame says. Raises
        ValueError for a picture that cannot be converted (a turn by 37 degrees, an unknown pixel format).
        """
        import av
        import simplejpeg

        orientation = orientation or orientation_of(frame)
        try:
            scaled = self._scale(frame, aspect or Fraction(1))
        except MemoryError:  # one of FFmpeg's errors, too
            raise
        except (av.error.FFmpegError, ValueError) as error:
            raise ValueError(f"pictures of format {frame.format.name} cannot be converted: {error}") from error
        planes = [
            np.ascontiguousarray(np.rot90(orientation.apply(_plane_array(plane)), self._quarter_turns))
            for plane in scaled.planes
        ]
        return simplejpeg.encode_jpeg_yuv_planes(*planes, quality=self._quality)

    def _scale(self, frame: av.VideoFrame, aspect: Fraction) -> av.VideoFrame:
        colours = int(frame.colorspace), int(frame.color_range)
        key = (frame.width, frame.height, frame.format.name, aspect, *colours)
        if self._graph is None or key != self._graph_key:  # the size can change in the middle of a stream
            self._graph, self._graph_key = self._build_graph(frame, aspect, *colours), key
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build_graph(self, frame: av.VideoFrame, aspect: Fraction, matrix: int, value_range: int) -> av.filter.Graph:
        import av.filter

        chroma = frame.format
        # side of one colour sample in pixels: 2 x 2 for 4:2:0, 4 x 1 for 4:1:1
        grid = 4 // (chroma.chroma_width(4) or 4), 4 // (chroma.chroma_height(4) or 4)
        box = fitted_box(self._fit, frame.width, frame.height, aspect, grid)
        graph = av.filter.Graph()
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base="1/1000",
            pixel_aspect="1/1",
            colorspace=str(matrix),
            range=str(value_range),
        )
        size = self._size
        colours = f"in_color_matrix={self._untagged_matrix if matrix == _UNSPECIFIED else 'auto'}"
        graph.link_nodes(
            source,
            # exact=1: an odd width stays odd, otherwise the filter drops a column of 4:2:0 pictures
            graph.add("crop", f"{box.width}:{box.height}:{box.x}:{box.y}:exact=1"),
            graph.add("scale", f"{size}:{size}:flags={_SCALE_FLAGS}:{colours}:out_color_matrix=bt601:out_range=pc"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ).configure()
        return graph


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """How the file says its stored picture lies. Raises ValueError for a turn that is not by 90 degrees."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return Orientation() if data is None else Orientation.from_display_matrix(bytes(cast(bytes, data)))


def _plane_array(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """The samples of a plane, ``[height, width]``, without the padding at the end of its lines."""
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
