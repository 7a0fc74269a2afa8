"""What in a photo carried a detection: heat maps over superpixels, in the layout of SageMaker Clarify.

`segments` cuts a photo into superpixels, `attribution` shares a score out among players (kernel SHAP), `detections`
plays that game with a detector on masked photos. `config` is what was asked, `analysis` what was found,
both in Clarify's files; `heatmaps` and `page` show it.

Needs numpy, OpenCV and the served detector; `config` needs none of them.
"""
