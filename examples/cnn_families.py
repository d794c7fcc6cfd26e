"""The classic convolutional networks as published: parameters and multiply-adds, from edges."""

import torch

import geodl as g
from geodl import models
from geodl.inspection import multiply_adds

NETWORKS = {
    "LeNet-5": (models.lenet5, (1, 28)),
    "AlexNet": (models.alexnet, (3, 224)),
    "ZFNet": (models.zfnet, (3, 224)),
    "VGG-16": (models.vgg, (3, 224)),
    "GoogLeNet": (models.googlenet, (3, 224)),
    "ResNet-18": (models.resnet, (3, 224)),
    "ResNet-50": (lambda: models.resnet(50), (3, 224)),
    "MobileNet": (models.mobilenet, (3, 224)),
    "ResNet-20, CIFAR": (models.cifar_resnet, (3, 32)),
    "VGG, small": (models.small_vgg, (3, 32)),
    "GoogLeNet, small": (models.small_googlenet, (3, 32)),
    "MobileNet, small": (models.small_mobilenet, (3, 32)),
}

print(f"{'network':18} {'parameters':>12} {'multiply-adds':>16}")
with torch.device("meta"):  # counted, not computed
    for name, (make, (channels, side)) in NETWORKS.items():
        net = make()
        count = sum(p.numel() for p in net.parameters())
        image = g.Signal.image(torch.zeros(1, channels, side, side))
        print(f"{name:18} {count:12,} {multiply_adds(net, image):16,}")
