# Names of the mini classes as WeakCLIP reads them.
# fmt: off
class_names = [
    'background', 'boat', 'car', 'tree', 'house', 'bird', 'fish', 'cow', 'plane', 'person', 'cat',
]
# fmt: on
