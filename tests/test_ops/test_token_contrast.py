import torch

from mmwsss.ops.affinity.token_contrast import token_affinity_label, token_contrast_loss

LABEL = torch.tensor([[[0, 3], [3, 255]]])


def test_label_compares_all_pairs_but_the_diagonal():
    expected = [[255, 0, 0, 255], [0, 255, 1, 255], [0, 1, 255, 255], [255] * 4]
    assert token_affinity_label(LABEL)[0].tolist() == expected


def test_loss_counts_one_pair_more_on_each_side():
    # 2 positive and 4 negative pairs with |cos| = 1: (1 - 2/3) / 2 + (4/5) / 2
    loss = token_contrast_loss(torch.ones(1, 8, 2, 2), token_affinity_label(LABEL))
    torch.testing.assert_close(loss, torch.tensor(17 / 30))


def test_opposite_tokens_count_as_equal():
    features = torch.randn(1, 8, 2, 2)
    flipped = features * torch.tensor([1.0, -1, 1, 1]).view(1, 1, 2, 2)
    target = token_affinity_label(LABEL)
    torch.testing.assert_close(
        token_contrast_loss(features, target), token_contrast_loss(flipped, target)
    )


def test_nothing_known_gives_a_finite_gradient():
    features = torch.zeros(1, 8, 2, 2, requires_grad=True)
    loss = token_contrast_loss(features, token_affinity_label(torch.full((1, 2, 2), 255)))
    loss.backward()
    assert loss == 0.5
    assert features.grad.isfinite().all()
