"""What a data set looks like: numbers, findings in words, plots and a contact sheet.

`rows` looks at one file at a time and makes a `Part`, which any number of machines can make of their share of the
files and `together` makes one. `joined` sets labels beside their pictures, `twins` finds near-duplicates, `outliers`
blur and exposure, `numbers` counts, `findings` says what matters, `picks` chooses photos to look at, `report` puts it
all into words; `plots` and `sheet` draw.

Everything after `rows` is a function of the whole `Part` alone: how the files were shared out cannot be seen in it.
`look` needs numpy and OpenCV, `plots` matplotlib, `sheet` only Pillow and `levels` nothing: the worker uses those two.
"""
