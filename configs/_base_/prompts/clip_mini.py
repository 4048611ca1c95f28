# Texts of the mini data set: its classes and its grounds, the words the mini CLIP has learned.
class_prompts = ['boat', 'car', 'tree', 'house', 'bird', 'fish', 'cow', 'plane', 'person', 'cat']
background_prompts = ['water', 'road', 'grass', 'sky', 'sand', 'snow', 'carpet']
templates = ['a clean origami {}.']
texts = dict(class_names=class_prompts, background_names=background_prompts, templates=templates)
