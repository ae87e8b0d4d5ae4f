"""Data sets, a file each: functions of `data_dir`, the folder of data files, that read one.

Of what is published, `train_size` and `test_size` take only the first so many images (None:
all); a split here is stratified, by `split_seed`. All raise FileNotFoundError if files are
missing and cannot be downloaded, and ValueError if one is damaged, or not what it should be.
"""
