"""The latency table: what one device needs for any configuration, learned from a few dozen measured ones.

The map of the room, in the order in which a table comes about:

``terms``       The summands, one for each segment that a layer reads: which width variables each depends on.
``features``    What a term may depend on (arithmetic, memory, tiles, smooth bends): the parts of the prior.
``basis``       Terms and features as one linear map, each part with a strength.
``curve``       How a whole network departs from the sum of its layers.
``noise``       How visits to a configuration scatter and drift.
``evidence``    Strengths and noise, learned by the marginal likelihood.
``posterior``   The table given these: its mean, its covariance, entries that are not negative.
``calibration`` How far its intervals can be trusted, by leave-one-out prediction.
``model``       The estimator: fits strengths and noise, the table, and how far visits are outliers, in turn.
``fit``         Makes the document from measured visits, held against configurations that it has not seen.
``quality``     How good it is there, and where it errs.

``stored`` makes a model a document and the document a model again; ``predict`` asks it, and hands it to the
search; ``agreement`` tells whether it still holds, and ``design`` chooses which configurations to measure next.
"""
