import io

import numpy as np
import pytest

from mmassist.core.errors import ItemError, Kind
from mmassist.vision.frame_batch import decode_frame, new_batch

pytestmark = pytest.mark.long

simplejpeg = pytest.importorskip("simplejpeg")


def jpeg(picture: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=90, colorspace="RGB", colorsubsampling="420")


def test_a_frame_lands_in_its_row_as_other_decoders_see_it(pictures):
    image = pytest.importorskip("PIL.Image")
    batch = new_batch(3, 384)
    data = jpeg(pictures[0])
    decode_frame(data, "000000.jpg", batch[1])
    assert not batch[0].any() and not batch[2].any()
    assert np.array_equal(batch[1], np.asarray(image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "size"])
def test_a_bad_frame_is_a_permanent_failure_that_names_it(pictures, damage):
    whole = jpeg(pictures[0])
    data = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"not a picture", "size": jpeg(pictures[0, :383])}
    with pytest.raises(ItemError, match=r"000007\.jpg") as error:
        decode_frame(data[damage], "000007.jpg", new_batch(1, 384)[0])
    assert error.value.kind is Kind.PERMANENT
