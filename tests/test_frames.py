import pytest
import torch

from nclib import frames


def gram(K):
    return (K * torch.eye(K, dtype=torch.float64) - 1) / (K - 1)


@pytest.mark.parametrize(("K", "d"), [(2, 1), (2, 5), (3, 2), (7, 6), (10, 64)])
def test_value_simplex_etf_gram(K, d):
    M = frames.simplex_etf(K, d)
    assert M.shape == (K, d) and M.dtype == torch.float64
    torch.testing.assert_close(M @ M.T, gram(K), rtol=0, atol=1e-15 * K)
    torch.testing.assert_close(M.sum(0), torch.zeros(d, dtype=torch.float64), rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.linalg.svdvals(M)[: K - 1], torch.full((K - 1,), (K / (K - 1)) ** 0.5).double())


def test_value_simplex_etf_by_hand():
    expected = torch.tensor([[3**0.5 / 2, 0.5], [-(3**0.5) / 2, 0.5], [0, -1]], dtype=torch.float64)
    torch.testing.assert_close(frames.simplex_etf(3, 2), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("K", "d"), [(1, 1), (4, 4), (4, 9)])
def test_value_orthogonal_frame_gram(K, d):
    M = frames.orthogonal_frame(K, d)
    assert M.shape == (K, d) and torch.equal(M @ M.T, torch.eye(K, dtype=torch.float64))


def test_value_general_orthogonal_frame_by_hand():
    M = frames.general_orthogonal_frame([4, 0, 3], 4)
    assert M.tolist() == [[0.8, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0.6, 0]]
    assert torch.equal(frames.general_orthogonal_frame(torch.tensor([4, 0, 3]), 4), M)
    torch.testing.assert_close(frames.general_orthogonal_frame([1.0] * 4, 6), frames.orthogonal_frame(4, 6) / 2)


@pytest.mark.parametrize(
    ("frame", "arguments", "message"),
    [
        (frames.simplex_etf, (1, 3), "K=1, a simplex needs at least 2 classes"),
        (frames.simplex_etf, (4, 2), "d=2, a simplex of K=4 classes needs d >= K-1 = 3"),
        (frames.orthogonal_frame, (0, 2), "K=0, must be at least 1"),
        (frames.orthogonal_frame, (3, 2), "d=2, an orthogonal frame of K=3 classes needs d >= K"),
        (frames.general_orthogonal_frame, ([1, 1, 1], 2), "d=2, an orthogonal frame of K=3 classes needs d >= K"),
        (frames.general_orthogonal_frame, ([0, 0], 2), r"lengths=\[0.0, 0.0\], must be finite, at least 0 and not all"),
        (frames.general_orthogonal_frame, ([1, -1], 2), r"lengths=\[1.0, -1.0\], must be finite, at least 0"),
        (frames.general_orthogonal_frame, ([1, float("nan")], 2), r"lengths=\[1.0, nan\], must be finite"),
        (frames.general_orthogonal_frame, ([], 2), r"lengths has shape \(0,\), must be \(K,\) with K >= 1"),
        (frames.general_orthogonal_frame, ([[1]], 2), r"lengths has shape \(1, 1\), must be \(K,\)"),
    ],
)
def test_value_bad_input_is_refused(frame, arguments, message):
    with pytest.raises(ValueError, match=message):
        frame(*arguments)
