"""TensorFlow 1：不用 Estimator，占位符、会话、tf.flags、tf.train.Saver、tf.gfile、tf.summary。"""

import numpy as np
import tensorflow as tf

flags = tf.app.flags
flags.DEFINE_integer("steps", 400, "Number of steps.")
FLAGS = flags.FLAGS


def main(_):
    tf.set_random_seed(0)
    data = np.random.RandomState(0).normal(size=(300, 2)).astype(np.float32)
    answers = (data[:, 0] > data[:, 1]).astype(np.int64)
    x = tf.placeholder(tf.float32, [None, 2])
    y = tf.placeholder(tf.int64, [None])
    with tf.variable_scope("layer", reuse=tf.AUTO_REUSE):
        w = tf.get_variable("w", [x.shape[1].value, 2], initializer=tf.random_normal_initializer(stddev=0.1))
    logits = tf.matmul(x, w)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    train_op = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))
    tf.summary.scalar("loss", loss)
    merged, saver = tf.summary.merge_all(), tf.train.Saver()
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    with tf.Session(config=config) as sess:
        writer = tf.summary.FileWriter("logs", sess.graph)
        sess.run(tf.global_variables_initializer())
        for step in range(FLAGS.steps):
            summary, _ = sess.run([merged, train_op], feed_dict={x: data, y: answers})
            writer.add_summary(summary, step)
        saver.save(sess, "./model.ckpt")
        assert tf.gfile.Exists("model.ckpt.index")
        print("accuracy", accuracy.eval({x: data, y: answers}))


if __name__ == "__main__":
    tf.app.run(main)
