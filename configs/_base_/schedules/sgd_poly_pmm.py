# PSA's optimizer, twice as fast, for PMM's classifiers; a step whose loss is not finite is left out
# and named in the log. The momentum is 5e-4 for the same reason; with 0.9 take a tenth of the rate.
_base_ = './sgd_poly_psa.py'
optim_wrapper = dict(type='mmwsss.SkippingOptimWrapper', optimizer=dict(lr=0.02))
