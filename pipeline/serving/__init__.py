"""What answers for a model: `detector` finds objects in a picture, `server` speaks SageMaker's serving contract.

Needs numpy, OpenCV and one of onnxruntime and openvino: neither torch nor ultralytics are imported here.
"""
