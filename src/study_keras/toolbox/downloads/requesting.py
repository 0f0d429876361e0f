"""等网络的应答：有总的时限；出了错，说成几个字的中文。"""

import threading
from concurrent.futures import Future

from toolbox.terminal.errors import wrong_clock


def in_time(seconds, function, *arguments):
    """function(*arguments) 的结果，最多等 seconds 秒；它的异常原样抛出。

    在另一个线程里等：解析域名、逐个试 IP、一点一点来的应答头都没有总的时限，这样才有。

    Raises:
        TimeoutError: 等不到；那个线程还在，进程结束时随着结束。
    """
    answer = Future()

    def ask():
        try:
            answer.set_result(function(*arguments))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer.result(timeout=max(seconds, 0))


def reason(error):
    """requests 的异常，几个字说清楚。"""
    import requests

    reasons = (
        (requests.exceptions.SSLError, wrong_clock() or "加密连接没有建立，证书不被信任"),
        (requests.exceptions.ProxyError, "代理不通，请检查 HTTP_PROXY、HTTPS_PROXY"),
        (requests.TooManyRedirects, "转向的次数太多"),
        (requests.exceptions.InvalidSchema, "转到了 http、https 之外的地址"),
        (requests.Timeout, "没有应答"),
        (requests.ConnectionError, "连不上，或连接在中途断开"),
    )
    return next((text for kind, text in reasons if isinstance(error, kind)), f"下载失败（{type(error).__name__}）")
