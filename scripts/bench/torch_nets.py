"""PyTorch's side of `deno task bench`: whole networks; twins of net_families.ts."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_numbers import fill, numbers, places


class Basic(nn.Module):
    def __init__(self, given, to, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(given, to, 3, stride, 1, bias=False),
            nn.BatchNorm2d(to),
            nn.ReLU(),
            nn.Conv2d(to, to, 3, 1, 1, bias=False),
            nn.BatchNorm2d(to),
        )
        shortcut = [] if given == to else [nn.Conv2d(given, to, 1, stride, bias=False), nn.BatchNorm2d(to)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        Basic(64, 64, 1),
        Basic(64, 128, 2),
        Basic(128, 256, 2),
        Basic(256, 512, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


class Inverted(nn.Module):
    def __init__(self, given, to, stride):
        super().__init__()
        wide = 6 * given
        self.is_residual = given == to and stride == 1
        self.body = nn.Sequential(
            nn.Conv2d(given, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, to, 1, bias=False),
            nn.BatchNorm2d(to),
        )

    def forward(self, x):
        y = self.body(x)
        return y + x if self.is_residual else y


def mobile_net():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU6(),
        Inverted(32, 16, 1),
        Inverted(16, 24, 2),
        Inverted(24, 24, 1),
        Inverted(24, 32, 2),
        Inverted(32, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def twice(given, to):
    return nn.Sequential(
        nn.Conv2d(given, to, 3, padding=1),
        nn.GroupNorm(8, to),
        nn.SiLU(),
        nn.Conv2d(to, to, 3, padding=1),
        nn.GroupNorm(8, to),
        nn.SiLU(),
    )


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.middle = twice(1, 32), twice(32, 64), twice(64, 128)
        self.up, self.third = nn.ConvTranspose2d(128, 64, 2, 2), twice(128, 64)
        self.wider = nn.Upsample(scale_factor=2, mode="bilinear")
        self.narrow, self.last = nn.Conv2d(64, 32, 1), twice(64, 32)
        self.out, self.pool = nn.Conv2d(32, 1, 1), nn.MaxPool2d(2)

    def forward(self, x):
        a = self.first(x)
        b = self.second(self.pool(a))
        c = self.up(self.middle(self.pool(b)))
        d = self.wider(self.third(torch.cat([c, b], 1)))
        return self.out(self.last(torch.cat([self.narrow(d), a], 1)))


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True), 2)


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20_000, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True, bidirectional=True)
        self.out = nn.Linear(256, 2)

    def forward(self, x):
        y, _ = self.lstm(self.words(x))
        return self.out(y.mean(1))


class Dlrm(nn.Module):
    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(100_000, 64, mode="sum") for _ in range(8))
        self.bottom = nn.Sequential(nn.Linear(13, 512), nn.ReLU(), nn.Linear(512, 64), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(100, 256), nn.ReLU(), nn.Linear(256, 1))
        at = torch.tril_indices(9, 9, -1)
        self.pairs = at[0] * 9 + at[1]

    def forward(self, dense, sparse):
        x = self.bottom(dense)
        rows = [bag(sparse[:, k]) for k, bag in enumerate(self.bags)]
        every = torch.stack([x, *rows], 1)
        products = (every @ every.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        return self.top(torch.cat([x, products], 1)).squeeze(1)


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(400, 20), nn.Linear(400, 20)
        self.decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def forward(self, x):
        h = self.encoder(x)
        m, v = self.mean(h), self.log_variance(h)
        return self.decoder(m + torch.randn_like(m) * (v * 0.5).exp()), m, v


def digits():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
        nn.LogSoftmax(1),
    )


def training(model, loss_of, optimizer_of=lambda p: torch.optim.AdamW(p, lr=1e-3)):
    optimizer = optimizer_of(model.parameters())

    def step():
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def classifier(model, x, *rest):
    target = places(10, x.shape[0])
    return training(model, lambda: F.cross_entropy(model(x), target), *rest)


def prediction(model, scale, *inputs):
    model.eval()
    fill(model.parameters(), scale)

    def predict():
        with torch.no_grad():
            return model(*inputs)

    return predict


def resnet_step(b, side):
    return classifier(
        resnet(),
        numbers(b, 3, side, side),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4),
    )


def u_net_step(b, side):
    model, x, y = UNet(), numbers(b, 1, side, side), numbers(b, 1, side, side)
    return training(model, lambda: F.mse_loss(model(x), y))


def digits_step(b):
    model, x, target = digits(), numbers(b, 1, 28, 28), places(10, b)
    return training(model, lambda: F.nll_loss(model(x), target), lambda p: torch.optim.Adadelta(p, lr=1))


def encoder_step(b, t):
    model, x = encoder(), numbers(b, t, 256)
    return training(model, lambda: model(x).square().mean())


def text_step(b, t):
    model, x, target = Text(), places(20_000, b, t), places(2, b)
    return training(model, lambda: F.cross_entropy(model(x), target))


def dlrm_step(b, bag):
    model, dense, sparse = Dlrm(), numbers(b, 13), places(100_000, b, 8, bag)
    label = places(2, b).float()
    return training(
        model,
        lambda: F.binary_cross_entropy_with_logits(model(dense, sparse), label),
        lambda p: torch.optim.SGD(p, lr=0.1),
    )


def vae_step(b):
    model, x = Vae(), numbers(b, 784) + 0.5

    def loss_of():
        y, m, v = model(x)
        return F.binary_cross_entropy(y, x, reduction="sum") + (m.square() + v.exp() - v - 1).sum() * 0.5

    return training(model, loss_of)


NETS = {
    "ResNet of 4 blocks, {} x 3 x {}, a step": resnet_step,
    "ResNet of 4 blocks, {} x 3 x {}": lambda b, side: prediction(resnet(), 0.1, numbers(b, 3, side, side)),
    "MobileNet, {} x 3 x {}, a step": lambda b, side: classifier(mobile_net(), numbers(b, 3, side, side)),
    "MobileNet, {} x 3 x {}": lambda b, side: prediction(mobile_net(), 0.3, numbers(b, 3, side, side)),
    "U-Net, {} x 1 x {}, a step": u_net_step,
    "digits, {} x 1 x 28, a step of Adadelta": digits_step,
    "transformer encoder of 2 layers, {} x {} x 256, a step": encoder_step,
    "transformer encoder of 2 layers, {} x {} x 256": lambda b, t: prediction(encoder(), 0.1, numbers(b, t, 256)),
    "LSTM over {} texts of {} words, both directions, a step": text_step,
    "DLRM of 8 tables of 100000 x 64, {} by {}, a step of SGD": dlrm_step,
    "DLRM of 8 tables of 100000 x 64, {} by {}": lambda b, bag: prediction(
        Dlrm(), 0.2, numbers(b, 13), places(100_000, b, 8, bag)
    ),
    "VAE 784-400-20, {} at a time, a step": vae_step,
}
