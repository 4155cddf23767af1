import time,torch
import torch.nn.functional as F
torch.set_num_threads(1)
def t(f,n=5):
    f(); best=9e9
    for _ in range(n):
        c=time.process_time(); f(); best=min(best,time.process_time()-c)
    return best*1e3
print(torch.__config__.show()[:600])
with torch.inference_mode():
  for M in (1,64,2048):
    R=max(2,100*64//M) if M>1 else 1000
    for (i,o) in ((128,384),(128,512),(512,128),(128,128)):
        W=torch.randn(o,i);b=torch.randn(o);x=torch.randn(M,i);Wt=W.t().contiguous()
        g=2*M*i*o*R/1e6
        a=t(lambda:[F.linear(x,W,b) for _ in range(R)]); c=t(lambda:[torch.addmm(b,x,Wt) for _ in range(R)])
        xt=x.t().contiguous(); bb=b[:,None].contiguous()
        d=t(lambda:[torch.addmm(bb,W,xt) for _ in range(R)])
        e=f=float('nan')
        try:
            Wp=torch.ops.mkldnn._reorder_linear_weight(W,M); e=t(lambda:[torch.ops.mkldnn._linear_pointwise(x,Wp,b,'none',[],'') for _ in range(R)])
        except Exception as ex: pass
        try:
            Wq=torch.ops.mkl._mkl_reorder_linear_weight(W.to_mkldnn(),M); f=t(lambda:[torch.ops.mkl._mkl_linear(x,Wq,W,b,M) for _ in range(R)])
        except Exception as ex: pass
        print(M,i,o,'GF/s linear %.0f addmm NN %.0f  Wx %.0f mkldnn %.0f mkl packed %.0f'%(g/a,g/c,g/d,g/e,g/f),'us %.1f'%(a/R*1e3))
  for M in (64,2048):
    h=torch.randn(M,512); print(M,'gelu tanh us',t(lambda:[F.gelu(h,approximate='tanh') for _ in range(20)])/20*1e3)
    h=torch.randn(M,128);w=torch.ones(128); print(M,'ln us',t(lambda:[F.layer_norm(h,(128,),w,w) for _ in range(20)])/20*1e3)
    q=torch.randn(64,4,M//64,32); print('sdpa causal us',t(lambda:[F.scaled_dot_product_attention(q,q,q,is_causal=True) for _ in range(20)])/20*1e3)
