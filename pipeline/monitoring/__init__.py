"""Whether a deployed model still sees what it was made for.

`features` numbers of a picture and of a prediction. `sketch` and `summary` keep a stream of them in bounded memory.
`capture` reads SageMaker's data capture. `drift` holds the tests and the verdict, `calibration` its limits, `quality`
the checks of the data themselves. `formats` reads and writes Model Monitor's files; `report` and `chart` show them.

Needs numpy and OpenCV only; a chart imports matplotlib when it is drawn.
"""
