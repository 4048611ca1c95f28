# Texts of CLIP-ES for PASCAL VOC 2012, shared by WeCLIP; spelling as published. One text per class,
# in the order of the data set, synonyms in one text.
# fmt: off
class_prompts = [
    'aeroplane', 'bicycle', 'bird avian', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair seat',
    'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person with clothes,people,human',
    'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor screen',
]
background_prompts = [
    'ground', 'land', 'grass', 'tree', 'building', 'wall', 'sky', 'lake', 'water', 'river', 'sea',
    'railway', 'railroad', 'keyboard', 'helmet', 'cloud', 'house', 'mountain', 'ocean', 'road',
    'rock', 'street', 'valley', 'bridge', 'sign',
]
# fmt: on
templates = ['a clean origami {}.']
texts = dict(class_names=class_prompts, background_names=background_prompts, templates=templates)
