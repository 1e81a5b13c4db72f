"""The research release's way to take frames, as a peer: every picture to full-size RGB, Pillow, JPEG 75, base64.

    python -m tools.bench.extraction_reference VIDEO OUT_FILE

Written from a description of its behaviour; rows are lines of text instead of an Arrow table, which costs less.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

SIZE = 384


def main() -> None:
    """Take the frames of one video."""
    import av
    from PIL import Image

    video, target = sys.argv[1:]
    with av.open(video) as container, Path(target).open("w", encoding="ascii") as rows:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        stride = int((int(stream.average_rate) + 0.5) // 2)
        for number, frame in enumerate(container.decode(stream)):
            if number % stride:
                continue
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
            factor = max(SIZE / picture.width, SIZE / picture.height)
            picture = picture.resize((int(picture.width * factor), int(picture.height * factor)))
            left, top = (picture.width - SIZE) // 2, (picture.height - SIZE) // 2
            data = io.BytesIO()
            picture.crop((left, top, left + SIZE, top + SIZE)).save(data, "JPEG")
            rows.write(base64.b64encode(data.getvalue()).decode() + "\n")


if __name__ == "__main__":
    main()
