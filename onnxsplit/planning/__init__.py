"""Planning: from a question to the best placement, proven, with what a reader wants to know of it.

``costs`` says what a placement is charged for and, on its own, what it costs; ``demands`` what it
must keep to; ``cuts`` finds the best; ``outlook`` tells what surrounds the answer. `plans` puts the
four together, `audit` holds a plan against its question, `inspection` looks at a model beforehand.
"""
